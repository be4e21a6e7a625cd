if (process.env.UNLOADABLE) throw new Error("no such module");

beforeAll(() => {
  if (process.env.NO_SETUP) throw new Error("no database");
});

test("reads", () => {
  if (process.env.DIES) process.exit(1);
});
test("writes", () => {});
