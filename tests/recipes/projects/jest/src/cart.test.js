const fs = require("node:fs");

// Fails as often as FAILURES says, counted in a file.
function pay() {
  const seen = fs.existsSync(process.env.COUNTER) ? Number(fs.readFileSync(process.env.COUNTER, "utf8")) : 0;
  fs.writeFileSync(process.env.COUNTER, String(seen + 1));
  if (seen < Number(process.env.FAILURES || 0)) throw new Error(`no answer after ${7 * seen} ms`);
}

describe("cart", () => {
  test("adds", () => expect(1 + 1).toBe(2));
  test("pays", () => pay());
  test("ships", () => expect(process.env.BROKEN ? 4 : 3).toBe(3));
  test("waits", () => new Promise((resolve) => setTimeout(resolve, process.env.SLOW ? 5000 : 0)), 300);
});
