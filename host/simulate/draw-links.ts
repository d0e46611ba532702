// Draws the wires: how much they lose, delay, reorder, duplicate and corrupt.
// Read first: veth/link-options.ts for the rules.

import type { LinkOptions } from "../../veth/index.ts";
import type { Dice } from "./dice.ts";
import type { Scenario } from "./scenario.ts";

/** Largest share of frames that a way from host to host loses. */
const LOSS_MAX = 0.2;
const BUFFERS = 2048;

/**
 * The wires of both hosts. The first host's lose and corrupt, both delay and shuffle: two wires on one way that
 * both corrupt could flip two bits that the Internet checksum cannot tell from none.
 */
export function drawLinks(dice: Dice): Scenario["links"] {
  if (dice.chance(0.1)) return [quietLink(dice), quietLink(dice)];
  const delay = dice.chance(0.2) ? 0 : dice.log(10, 200_000);
  return [
    { toWire: lossy(dice, wire(dice, delay)), toHost: lossy(dice, wire(dice, delay)) },
    { toWire: wire(dice, dice.chance(0.5) ? 0 : delay), toHost: wire(dice, dice.chance(0.5) ? 0 : delay) },
  ];
}

function quietLink(dice: Dice): Scenario["links"][0] {
  const delay = dice.chance(0.5) ? 0 : dice.log(10, 200_000);
  return { toWire: { delay, buffers: BUFFERS }, toHost: { delay, buffers: BUFFERS } };
}

function wire(dice: Dice, delay: number): LinkOptions {
  const link: LinkOptions = { buffers: BUFFERS, delay };
  if (dice.chance(0.4)) {
    link.jitter = dice.real(0, dice.chance(0.5) ? delay : 30_000);
    link.ordered = dice.chance(0.3);
    if (dice.chance(0.2)) link.distribution = "normal";
  }
  if (dice.chance(0.25)) {
    link.reorder = dice.real(0, 0.3);
    link.reorderGap = dice.whole(1, 10);
    link.hold = dice.log(100, 50_000);
  }
  if (dice.chance(0.25)) link.duplicate = dice.real(0, 0.2);
  if (dice.chance(0.12)) {
    link.rate = dice.log(100_000, 1_000_000_000);
    link.queue = { packets: dice.log(3, 300) };
  }
  return link;
}

function lossy(dice: Dice, link: LinkOptions): LinkOptions {
  if (dice.chance(0.75)) link.loss = dice.chance(0.5) ? dice.real(0, 0.03) : dice.real(0, LOSS_MAX);
  else if (dice.chance(0.5)) link.gilbert = { p: dice.real(0.001, 0.03), r: dice.real(0.2, 0.6), lossBad: 0.8 };
  if (dice.chance(0.3)) link.corrupt = dice.real(0, 0.05);
  return link;
}
