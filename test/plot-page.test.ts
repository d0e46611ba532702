// The page of a time-sequence plot: what it lists and says, how it fits into a window, what the end of a capture means.
// Read first: veth/plot-page.ts, veth/plot-loss.ts.

import { expect } from "chai";
import { arrange, bottomOf } from "../veth/plot-axes.ts";
import { plotCapture, timeSequence } from "../veth/plot.ts";
import type { Frame } from "../veth/plot.ts";
import { fakeTransfer } from "./support/fake-transfer.ts";

describe("plot: a capture that ends in the middle", () => {
  const { frames } = fakeTransfer({ bytes: 400_000, seed: 2, delayMicros: 20_000 });
  const lostOf = (part: Frame[]): number[] =>
    timeSequence(part)
      .segments.filter((each) => each.lost)
      .map((each) => each.number);

  it("calls nothing lost that was still under way, whenever it ends", () => {
    const lost = lostOf(frames);
    for (let length = 10; length <= frames.length; length += 17) {
      expect(lost, `the first ${length}`).to.include.members(lostOf(frames.slice(0, length)));
    }
  });

  it("still finds what was lost before", () => {
    const lossy = fakeTransfer({ bytes: 400_000, seed: 2, delayMicros: 20_000, loss: 0.03 });
    expect(lossy.lost).to.be.above(3);
    const whole = timeSequence(lossy.frames).segments.filter((each) => each.lost);
    const cut = timeSequence(lossy.frames.slice(0, Math.floor(lossy.frames.length / 2)));
    const endMicros = cut.durationMicros - 60_000;
    const early = whole.filter((each) => each.timeMicros < endMicros).map((each) => each.number);
    expect(early).to.not.be.empty;
    expect(cut.segments.filter((each) => each.lost).map((each) => each.number)).to.include.members(early);
  });
});

describe("plot: what the page tells besides", () => {
  const clean = fakeTransfer({ bytes: 5000, seed: 1 });
  const { frames, retransmissions } = fakeTransfer({ bytes: 200_000, seed: 4, loss: 0.02 });

  it("lists the retransmissions by Wireshark's packet numbers", () => {
    const html = plotCapture(frames);
    const rows = [...html.matchAll(/<button type="button" data-resent="(\d+)">(\d+)<\/button>/g)];
    expect(rows).to.have.lengthOf(retransmissions).and.to.have.length.above(1);
    const resent = timeSequence(frames).segments.filter((each) => each.kind === "retransmission");
    expect(rows.map(([, , number]) => Number(number))).to.deep.equal(resent.map((each) => each.number));
    expect(plotCapture(clean.frames)).to.not.contain("<details>");
  });

  it("says that the capture was cut off, when it was", () => {
    expect(plotCapture(frames)).to.not.contain('class="truncated"');
    expect(plotCapture(frames, { truncated: "only <b> so much" })).to.contain(
      '<p class="truncated">only &lt;b&gt; so much</p>',
    );
  });

  it("has panels for cwnd, ssthresh, flight and RTT when TCP_INFO was recorded", () => {
    const sample = { cwndBytes: 14_600, ssthreshBytes: Infinity, rttMicros: 20_000, flightBytes: 0 };
    const info = [1000, 50_000, 90_000].map((timeMicros, i) => ({
      ...{ ...sample, timeMicros, cwndBytes: 14_600 * (i + 1) },
      ssthreshBytes: i === 2 ? 29_200 : Infinity,
    }));
    const ids = (options: object): string[] =>
      [...plotCapture(frames, options).matchAll(/<svg id="(\w+)" x=/g)].map(([, id]) => id as string);
    expect(ids({})).to.deep.equal(["seq", "flight", "rate"]);
    expect(ids({ info })).to.deep.equal(["seq", "flight", "cwnd", "rtt", "rate"]);
    const html = plotCapture(frames, { info });
    expect(html)
      .to.match(/class="line cwnd" d="M\d/)
      .and.to.match(/class="line ssthresh" d="M\d/);
    expect(html)
      .to.match(/class="line infoflight" d="M/)
      .and.to.match(/class="line rtt" d="M\d/);
    expect(html).to.not.match(/NaN|Infinity|\[object|:null/);
    // Samples of another time than the capture's are not drawn.
    const late = info.map((each) => ({ ...each, timeMicros: each.timeMicros + 1e12 }));
    expect(ids({ info: late })).to.deep.equal(["seq", "flight", "rate"]);
  });

  it("fits the picture into a window, with the time axis in sight, however many panels there are", () => {
    const panels = ["a", "b", "c", "d"].map((id) => ({ id, quantity: "bytes" as const, high: 1 }));
    for (const count of [2, 4]) {
      for (const [width, height] of [
        [1372, 660],
        [1100, 620],
      ] as const) {
        const layout = arrange(width, height, panels.slice(0, count));
        expect(layout.height).to.be.at.most(height);
        expect(bottomOf(layout)).to.be.at.most(height - 40);
        expect(layout.plotHeight).to.be.at.least(150);
        for (const panel of layout.panels) expect(panel.height).to.be.at.least(44);
      }
      const narrow = arrange(440, 300, panels.slice(0, count));
      expect(narrow.plotWidth).to.be.above(360);
      expect(narrow.plotHeight).to.be.at.least(100);
    }
  });
});
