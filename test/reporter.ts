// Mocha's spec reporter, with a plain last line that scripts can read: "12 passed, 0 failed, 1 skipped".
// ORIBI_TOTALS names a file to which the same figures are appended, for .ci/run to add up.

import { appendFileSync } from "node:fs";
import Mocha from "mocha";

export default class Reporter extends Mocha.reporters.Spec {
  override done(failures: number, end?: (failures: number) => void): void {
    const { passes, failures: failed, pending } = this.stats;
    process.stdout.write(`${passes} passed, ${failed} failed, ${pending} skipped\n`);
    if (process.env.ORIBI_TOTALS) appendFileSync(process.env.ORIBI_TOTALS, `${passes} ${failed} ${pending}\n`);
    end?.(failures);
  }
}
