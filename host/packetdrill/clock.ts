// Times of a script as people read them.

/** Microseconds as seconds, as scripts have them: "0.200", with more places where they matter. */
export function formatMicros(micros: number): string {
  const seconds = (Math.round(micros) / 1e6).toFixed(6);
  return `${seconds.replace(/0{1,3}$/, "")} s`;
}
