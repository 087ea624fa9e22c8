// Given to the compiler as its runtime (`--runtime`): the allocator functions that it calls are those of the arena.
import "@leat/assemblyscript/arena";
