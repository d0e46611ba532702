// The pcapng writer and reader: against each other, against tshark, against damage.
// Read first: draft-ietf-opsawg-pcapng.

import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";

import { PcapngError, PcapngWriter, readPcapng } from "../veth/pcapng.ts";
import type { CapturedPacket } from "../veth/pcapng.ts";
import { arpFrame, CLIENT, echoFrame, SERVER, tcpFrame, udpFrame } from "./support/capture-frames.ts";
import { needTshark, tshark, tsharkFaults, tsharkFields } from "./support/tshark.ts";

const payload = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => 33 + (index % 90));
/** 14 November 2023, 22:13:20 UTC. */
const EPOCH_SECONDS = 1_700_000_000;

/** A capture with two ports and every kind of frame; odd and even lengths, so that padding is exercised. */
function fill(writer: PcapngWriter): PcapngWriter {
  const { mac, address } = CLIENT;
  const client = writer.addInterface({
    name: "client",
    description: "port of the client",
    mac,
    address,
    prefixLength: 24,
    speedBits: 10e9,
  });
  const server = writer.addInterface({ name: "server", mac: SERVER.mac });
  writer.packet(client, 0, arpFrame(CLIENT, SERVER), { direction: "outbound" });
  writer.packet(server, 1.5, echoFrame(CLIENT, SERVER, payload(7)), { direction: "inbound", comment: "ping" });
  const syn = tcpFrame(CLIENT, SERVER, { seq: 1000, flags: 2, options: [2, 4, 5, 180, 1, 3, 3, 7] });
  writer.packet(client, 20_000.123, syn, { direction: "outbound", comment: ["first", "zweite: größer"] });
  const data = tcpFrame(CLIENT, SERVER, { seq: 1001, ack: 5, flags: 24, payload: payload(1447) });
  writer.packet(client, 20_000.124, data, { direction: "outbound", queue: 3, dropCount: 2 });
  writer.packet(server, 5_000_000_000.001, udpFrame(CLIENT, SERVER, payload(33)));
  writer.statistics(server, { received: 12, dropped: 10 });
  return writer;
}

async function sample(): Promise<Uint8Array> {
  const writer = fill(PcapngWriter.toMemory({ hardware: "Wasm", os: "none", comment: "seed 7" }));
  await writer.close();
  return writer.bytes();
}

describe("pcapng: writer and reader", () => {
  it("reads back every packet, stamp, comment and direction", async () => {
    const packets = [...readPcapng(await sample())];
    expect(packets.map((packet) => packet.interface.name)).to.deep.equal([
      "client",
      "server",
      "client",
      "client",
      "server",
    ]);
    expect(packets.map((packet) => packet.timestampNanos)).to.deep.equal([
      0n,
      1500n,
      20_000_123n,
      20_000_124n,
      5_000_000_000_001n,
    ]);
    expect(packets.map((packet) => packet.timeMicros)).to.deep.equal([
      0, 1.5, 20_000.123, 20_000.124, 5_000_000_000.001,
    ]);
    expect(packets.map((packet) => packet.direction)).to.deep.equal([
      "outbound",
      "inbound",
      "outbound",
      "outbound",
      "unknown",
    ]);
    expect(packets[2]?.comments).to.deep.equal(["first", "zweite: größer"]);
    expect(packets[3]?.comments).to.deep.equal([]);
    expect(packets[1]?.data).to.deep.equal(echoFrame(CLIENT, SERVER, payload(7)));
    expect(packets[4]?.originalLength).to.equal(packets[4]?.data.length);
  });

  it("reads back what it said about the capture and its ports", async () => {
    const [first, second] = [...readPcapng(await sample())].map((packet) => packet.interface);
    expect(first?.section).to.deep.equal({ hardware: "Wasm", os: "none", application: "Oribi", comments: ["seed 7"] });
    expect(first?.description).to.equal("port of the client");
    expect(first?.mac).to.deep.equal(CLIENT.mac);
    expect(first?.address).to.equal(CLIENT.address);
    expect([first?.received, first?.dropped]).to.deep.equal([3, 0]);
    expect([second?.received, second?.dropped]).to.deep.equal([12, 10]);
  });

  it("writes the same bytes for the same calls, to memory and to a file, with short and long buffers", async () => {
    const folder = mkdtempSync(join(tmpdir(), "oribi-pcapng-"));
    try {
      const write = async (writer: PcapngWriter): Promise<void> => {
        const port = writer.addInterface({ name: "port" });
        for (let index = 0; index < 2000; index++) writer.packet(port, index, payload(index), { comment: `${index}` });
        await writer.close();
      };
      const path = join(folder, "a.pcapng");
      const memory = PcapngWriter.toMemory();
      await write(memory);
      await write(PcapngWriter.toFile(path));
      const bytes = memory.bytes();
      expect(bytes.length).to.be.above(2_000_000);
      expect(Buffer.compare(bytes, readFileSync(path))).to.equal(0);
      const lengths = [...readPcapng(path)].map((packet) => packet.data.length);
      expect(lengths).to.deep.equal(Array.from({ length: 2000 }, (_, index) => index));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("keeps nanoseconds: exact stamps up to 2^53 microseconds, and beside an epoch", async () => {
    const writer = PcapngWriter.toMemory({ epochSeconds: EPOCH_SECONDS });
    const port = writer.addInterface({ name: "port" });
    const wholes = [0, 4_294_967, 4_294_968, 4_294_967_296, 1_700_000_000_000_000, 2 ** 53 - 1];
    for (const micros of [...wholes, 0.0004, 0.0006, 0.9999]) writer.packet(port, micros, payload(1));
    await writer.close();
    const offset = BigInt(EPOCH_SECONDS) * 1_000_000_000n;
    expect([...readPcapng(writer.bytes())].map((packet) => packet.timestampNanos - offset)).to.deep.equal([
      ...wholes.map((micros) => BigInt(micros) * 1000n),
      0n,
      1n,
      1000n,
    ]);
  });

  it("cuts packets at the snap length and keeps their length on the wire", async () => {
    const writer = PcapngWriter.toMemory();
    const port = writer.addInterface({ name: "port", snaplen: 61 });
    writer.packet(port, 0, payload(100));
    writer.packet(port, 1, payload(40), { originalLength: 9000 });
    await writer.close();
    const packets = [...readPcapng(writer.bytes())];
    expect(packets.map((packet) => packet.data.length)).to.deep.equal([61, 40]);
    expect(packets.map((packet) => packet.originalLength)).to.deep.equal([100, 9000]);
  });

  it("copies frames out of shared memory", async () => {
    const shared = new Uint8Array(new SharedArrayBuffer(64)).fill(7);
    const writer = PcapngWriter.toMemory();
    writer.packet(writer.addInterface({ name: "port" }), 0, shared.subarray(2, 62));
    shared.fill(0);
    await writer.close();
    expect([...readPcapng(writer.bytes())][0]?.data).to.deep.equal(new Uint8Array(60).fill(7));
  });

  it("closes with `await using`, and refuses packets afterwards", async () => {
    let kept: PcapngWriter;
    {
      await using writer = fill(PcapngWriter.toMemory());
      kept = writer;
    }
    await kept.close();
    expect(kept.packets).to.equal(5);
    expect(kept.bytes().length).to.equal(kept.size);
    expect(() => kept.packet(0, 0, payload(1))).to.throw("the capture is closed");
    expect([...readPcapng(kept.bytes())]).to.have.lengthOf(5);
  });

  it("refuses what the format cannot say", () => {
    const writer = PcapngWriter.toMemory();
    const port = writer.addInterface({ name: "port" });
    expect(() => writer.packet(port + 1, 0, payload(1))).to.throw(RangeError, "interface 1 was not added");
    for (const time of [-1, NaN, Infinity]) {
      expect(() => writer.packet(port, time, payload(1))).to.throw(RangeError, "the time of a packet");
    }
    expect(() => writer.addInterface({ name: "b", mac: payload(5) })).to.throw(RangeError, "a MAC address has 6");
    expect(() => writer.addInterface({ name: "b", snaplen: 0 })).to.throw(RangeError, "snaplen is 0");
    expect(() => writer.packet(port, 0, payload(1), { comment: "x".repeat(70_000) })).to.throw(RangeError, "65535");
    expect(() => PcapngWriter.toMemory({ epochSeconds: 0.5 })).to.throw(RangeError, "epochSeconds is 0.5");
    expect(() => PcapngWriter.toFile("/nonexistent/a.pcapng")).to.throw("ENOENT");
    expect(writer.packets).to.equal(0);
  });

  it("fails, and stays failed, on a full device", async function () {
    let full: number;
    try {
      full = openSync("/dev/full", "w");
    } catch {
      // Only Linux has the device; elsewhere a path that cannot be written stands in for it.
      expect(() => PcapngWriter.toFile(tmpdir())).to.throw();
      return;
    }
    closeSync(full);
    const writer = PcapngWriter.toFile("/dev/full");
    const port = writer.addInterface({ name: "port" });
    const overflow = (): void => {
      for (let index = 0; index < 1000; index++) writer.packet(port, index, payload(1000));
    };
    expect(overflow).to.throw("ENOSPC");
    expect(() => writer.packet(port, 0, payload(1))).to.throw("an earlier write of the capture failed");
    await writer.close().then(
      () => expect.fail("close should have rejected"),
      (error: Error) => expect(error.message).to.contain("ENOSPC"),
    );
  });
});

describe("pcapng: what others write", () => {
  /** A block in either byte order. */
  function block(type: number, body: number[], littleEndian: boolean): number[] {
    const word = (value: number): number[] => {
      const bytes = [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
      return littleEndian ? bytes.reverse() : bytes;
    };
    const length = 12 + body.length;
    return [...word(type), ...word(length), ...body, ...word(length)];
  }
  const read = (...blocks: number[][]): CapturedPacket[] => [...readPcapng(Uint8Array.from(blocks.flat()))];
  const bigEndianSection = block(
    0x0a0d0d0a,
    [0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0, ...new Array<number>(8).fill(255)],
    false,
  );

  it("reads big-endian sections, microseconds by default, and powers of two", () => {
    const packet = (port: number): number[] =>
      block(6, [0, 0, 0, port, 0, 0, 0, 1, 0, 0, 0, 16, 0, 0, 0, 2, 0, 0, 0, 9, 1, 2, 0, 0], false);
    const packets = read(
      bigEndianSection,
      block(1, [0, 1, 0, 0, 0, 0, 0, 0], false),
      // if_tsresol 2^-10, if_tsoffset -1
      block(
        1,
        [0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0x8a, 0, 0, 0, 0, 14, 0, 8, ...new Array<number>(8).fill(255)],
        false,
      ),
      packet(0),
      packet(1),
    );
    const stamp = 2n ** 32n + 16n;
    expect(packets.map((each) => each.timestampNanos)).to.deep.equal([
      stamp * 1000n,
      (stamp * 1_000_000_000n) / 1024n - 1_000_000_000n,
    ]);
    expect(packets[0]?.interface.name).to.equal("interface 0");
    expect([...(packets[0]?.data ?? [])]).to.deep.equal([1, 2]);
    expect(packets[0]?.originalLength).to.equal(9);
  });

  it("reads simple and obsolete packet blocks, and passes over blocks it does not know", () => {
    const packets = read(
      bigEndianSection,
      block(1, [0, 1, 0, 0, 0, 0, 0, 3], false),
      block(0x0bad, [1, 2, 3, 4], false),
      block(3, [0, 0, 0, 5, 7, 8, 9, 0], false),
      block(2, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 1, 6, 0, 0, 0], false),
    );
    expect(packets.map((each) => [...each.data])).to.deep.equal([[7, 8, 9], [6]]);
    expect(packets.map((each) => each.originalLength)).to.deep.equal([5, 1]);
    expect(packets[1]?.timestampNanos).to.equal(5000n);
  });

  it("forgets the interfaces of a section when the next one begins", async () => {
    const one = await sample();
    const packets = [...readPcapng(Buffer.concat([one, one]))];
    expect(packets).to.have.lengthOf(10);
    expect(packets[0]?.interface).to.not.equal(packets[5]?.interface);
  });
});

describe("pcapng: damage", () => {
  const error = (source: Uint8Array | string): Error => {
    try {
      for (const packet of readPcapng(source)) void packet;
    } catch (caught) {
      return caught as Error;
    }
    return expect.fail("the capture was read without an error");
  };

  it("says what a file is, if it is no pcapng", () => {
    expect(error(new Uint8Array(0)).message).to.contain("empty");
    expect(error(Buffer.from("GET / HTTP/1.1\r\n")).message).to.contain("not a pcapng capture");
    const pcap = Uint8Array.of(0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    expect(error(pcap).message).to.contain("editcap -F pcapng");
    expect(error("/nonexistent/a.pcapng").message).to.contain("ENOENT");
  });

  it("finds the block that is cut off, wherever the file ends", async () => {
    const whole = await sample();
    const view = new DataView(whole.buffer, whole.byteOffset);
    const boundaries = new Set<number>();
    for (let at = 0; at < whole.length; boundaries.add(at)) at += view.getUint32(at + 4, true);
    // A section header, two interfaces, five packets, two blocks of statistics.
    expect(boundaries.size).to.equal(10);
    for (let length = 0; length < whole.length; length++) {
      const cut = whole.subarray(0, length);
      if (boundaries.has(length)) for (const packet of readPcapng(cut)) void packet;
      else expect(error(cut), `${length} bytes`).to.be.instanceOf(PcapngError);
    }
  });

  it("ends with a PcapngError or packets, never otherwise, for every changed byte", async () => {
    const whole = await sample();
    let failures = 0;
    for (let at = 0; at < whole.length; at++) {
      const changed = whole.slice();
      changed[at]! ^= 0xff;
      try {
        for (const packet of readPcapng(changed)) void packet;
      } catch (caught) {
        expect(caught, `byte ${at}`).to.be.instanceOf(PcapngError);
        failures += 1;
      }
    }
    expect(failures).to.be.above(50);
  });

  it("reads a damaged file, in pieces, as it reads damaged bytes", async () => {
    const folder = mkdtempSync(join(tmpdir(), "oribi-pcapng-"));
    try {
      const whole = await sample();
      const path = join(folder, "cut.pcapng");
      writeFileSync(path, whole.subarray(0, whole.length - 5));
      expect(error(path).message).to.equal(error(whole.subarray(0, whole.length - 5)).message);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("pcapng: in the eyes of tshark", () => {
  before(needTshark);

  it("has no malformed frame and no bad checksum", async () => {
    expect(tsharkFaults(await sample())).to.deep.equal([]);
  });

  it("has faults when there are some", () => {
    const broken = tcpFrame(CLIENT, SERVER, { seq: 1, flags: 16, payload: payload(10) });
    broken[60]! ^= 1;
    const writer = PcapngWriter.toMemory();
    writer.packet(writer.addInterface({ name: "port" }), 0, broken);
    expect(tsharkFaults(writer.bytes())).to.have.lengthOf(1);
  });

  it("has the names, stamps, comments, lengths and protocols that were written", async () => {
    const fields = ["frame.interface_name", "frame.time_epoch", "frame.comment", "frame.len", "frame.protocols"];
    expect(tsharkFields(await sample(), fields).map((packet) => Object.values(packet))).to.deep.equal([
      ["client", "0.000000000", "", "60", "eth:ethertype:arp"],
      ["server", "0.000001500", "ping", "60", "eth:ethertype:ip:icmp:data"],
      ["client", "0.020000123", "first|zweite: größer", "62", "eth:ethertype:ip:tcp"],
      ["client", "0.020000124", "", "1501", "eth:ethertype:ip:tcp:data"],
      ["server", "5000.000000001", "", "75", "eth:ethertype:ip:udp:data"],
    ]);
  });

  it("has good checksums in every packet, directions, and the ports' descriptions", async () => {
    const checks = ["ip.checksum.status", "tcp.checksum.status", "udp.checksum.status", "icmp.checksum.status"];
    const status = tsharkFields(await sample(), checks).map((packet) => Object.values(packet).join(""));
    // 1 is tshark's number for a good checksum.
    expect(status).to.deep.equal(["", "11", "11", "11", "11"]);
    const fields = ["frame.packet_flags_direction", "frame.interface_description"];
    const packets = tsharkFields(await sample(), fields).map((packet) => Object.values(packet).join(" "));
    expect(packets[0]).to.match(/^(2|0x0+2) port of the client$/);
    expect(packets[1]).to.match(/^(1|0x0+1) $/);
  });

  it("keeps an epoch", async () => {
    const writer = PcapngWriter.toMemory({ epochSeconds: EPOCH_SECONDS });
    writer.packet(writer.addInterface({ name: "port" }), 0.001, arpFrame(CLIENT, SERVER));
    await writer.close();
    expect(tshark(writer.bytes(), ["-t", "e"])).to.contain("1700000000.000000001");
  });
});
