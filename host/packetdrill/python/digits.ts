// Decimal digits of floats, rounded as C and Python round them: exactly, and a half to the even digit.
// Read first: format.ts. (JavaScript's toFixed rounds a half up, and gives up at 1e21.)

const FRACTION_BITS = 52n;
const view = new DataView(new ArrayBuffer(8));

/** A float of 0 or more times 10 ** places, rounded to an integer. */
function scaled(value: number, places: number): bigint {
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const exponent = bits >> FRACTION_BITS;
  const fraction = bits & ((1n << FRACTION_BITS) - 1n);
  let numerator = exponent === 0n ? fraction : fraction | (1n << FRACTION_BITS);
  let denominator = 1n;
  const shift = (exponent === 0n ? 1n : exponent) - 1075n;
  if (shift >= 0n) numerator <<= shift;
  else denominator <<= -shift;
  const power = 10n ** BigInt(Math.abs(places));
  if (places >= 0) numerator *= power;
  else denominator *= power;
  const whole = numerator / denominator;
  const rest = 2n * (numerator % denominator);
  return rest > denominator || (rest === denominator && (whole & 1n) === 1n) ? whole + 1n : whole;
}

/** %f of a finite float of 0 or more. */
export function fixed(value: number, places: number): string {
  const digits = scaled(value, places)
    .toString()
    .padStart(places + 1, "0");
  return places === 0 ? digits : `${digits.slice(0, -places)}.${digits.slice(-places)}`;
}

/** %e of a finite float of 0 or more, with two digits of exponent at least. */
export function scientific(value: number, places: number): string {
  const text = value.toExponential();
  let power = Number(text.slice(text.indexOf("e") + 1));
  let digits = scaled(value, places - power).toString();
  // 9.99 became 10.0
  if (digits.length > places + 1) digits = scaled(value, places - ++power).toString();
  digits = digits.padEnd(places + 1, "0");
  const mantissa = places === 0 ? digits : `${digits[0]}.${digits.slice(1)}`;
  return `${mantissa}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}
