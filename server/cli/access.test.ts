import { expect, test } from "vitest";
import { AccessFolder } from "../../test/kit/access.ts";
import { callCommand } from "../../test/kit/call-command.ts";
import { makeAuthority } from "../../test/kit/certificates.ts";
import { lean, runCommand, startServe } from "../../test/kit/leat-command.ts";

test("a server does not let others reach it without TLS and an access file, and says what to do", async () => {
  const { code, stderr } = await runCommand([
    "serve",
    "--grpc-address",
    "0.0.0.0:0",
    "--http-address",
    "false",
  ]);
  expect(code).toBe(2);
  expect(stderr).toMatch(
    /grpc\.address: 0\.0\.0\.0 can be reached from other machines.*--insecure-expose true/,
  );
});

test("a token that the command makes opens a server with TLS, and nothing else does", async () => {
  using folder = new AccessFolder();
  const { code, stdout: token, stderr: line } = await runCommand(["token", "new"]);
  expect(code).toBe(0);
  expect(line).toMatch(/^tokens: \["sha256:[0-9a-f]{64}"\]\n$/);

  const authority = makeAuthority();
  const { cert, key } = authority.issue("server.test");
  const access = `principals: [{ name: me, ${line.trim()}, grants: [{ role: operator }] }]`;
  const config = folder.write("leat.yaml", "tls: { cert: tls.crt, key: tls.key }\naccess: access.yaml\n");
  folder.write("tls.crt", cert);
  folder.write("tls.key", key);
  folder.write("access.yaml", access);
  const ca = folder.write("ca.crt", authority.cert);
  const tokenFile = folder.write("token", token);
  await using server = await startServe([...lean, "--config", config]);

  const list = ["--address", server.address, "--tls-ca", ca];
  const answers = await Promise.all([
    runCommand([...list, "--token-file", tokenFile, "module", "list"]),
    callCommand(["module", "list"], {
      env: { LEAT_ADDRESS: server.address, LEAT_CLIENT_CA: ca, LEAT_TOKEN: token.trim() },
    }),
    callCommand([...list, "module", "list"]),
    callCommand([...list, "--token", "leat_wrong", "module", "list"]),
  ]);
  expect(answers.map((answer) => answer.code)).toEqual([0, 0, 1, 1]);
  expect(answers[2]?.stderr).toMatch(/^leat: CREDENTIALS_MISSING: .*--token-file or LEAT_TOKEN/);
  expect(answers[3]?.stderr).toMatch(/^leat: CREDENTIALS_INVALID: /);
  expect(server.stderr()).not.toContain(token.trim());
});
