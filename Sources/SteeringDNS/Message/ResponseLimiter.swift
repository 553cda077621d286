import AddressPools

/// Keeps answers from being of use against those in whose name queries are forged: over time no network is sent more
/// than 1.5 times the bytes that came from it, packet headers included, beyond a first 4 KiB; and, where it is asked
/// for, no more answers a second than a limit.
///
/// What would go beyond is cut to the question and EDNS, which is at most 1.3 times the query: who asked in earnest asks
/// again by TCP, or with a cookie (RFC 7873), and then is not limited. A network is a /24 or a /56; it has a place in a
/// table of fixed size. Networks that meet at a place share the first 4 KiB, so that nobody gains by making room, and what
/// one of them has earned is not another's; of answers a second each begins anew there. Each worker has a table.
struct ResponseLimiter {
    private var slots: [Slot]
    private let rate: UInt32
    private let factor: UInt64
    private var tosses: UInt64 = 0

    private struct Slot {
        var network: UInt32 = 0
        /// Bytes that may be sent.
        var credit = burst
        /// What it was when the network came here.
        var first = burst
        /// Thousandths of an answer that may be sent.
        var answers: UInt32 = 0
        /// Milliseconds.
        var time: UInt32 = 0
    }

    enum Verdict { case send, cut, drop }

    static let burst: Int32 = 4_096

    /// - Parameters:
    ///   - rate: answers a second to a network; 0 for any number.
    ///   - places: how many networks have a place of their own, at most; a power of two up to 65,536.
    init(rate: UInt32, places: Int = 1 << 16) {
        self.rate = rate
        slots = Array(repeating: Slot(), count: places)
        var system = SystemRandomNumberGenerator()
        factor = system.next() | 1
    }

    /// - Parameters:
    ///   - query: the query's bytes.
    ///   - answer: the answer's, if it is not cut.
    ///   - cut: the answer's, if it is.
    ///   - time: milliseconds of a clock that does not go back; it may wrap.
    mutating func verdict(_ client: IPAddress, query: Int, answer: Int, cut: Int, time: UInt32) -> Verdict {
        let network = IPPrefix(masking: client, length: client.family == .ipv4 ? 24 : 56).address.bits
        let folded = UInt64(truncatingIfNeeded: network >> 64) ^ UInt64(truncatingIfNeeded: network)
        let hash = (folded &+ 1) &* factor
        let index = Int(truncatingIfNeeded: hash >> 48) & (slots.count - 1)
        // 0 is nobody's.
        let mark = UInt32(truncatingIfNeeded: hash >> 16) | 1
        var slot = slots[index]
        if slot.network != mark {
            // What comes here never finds more than any who left, who may be the one that comes back.
            slot.first = min(slot.first, slot.credit)
            (slot.network, slot.credit) = (mark, slot.first)
            (slot.answers, slot.time) = (min(rate, 1_000_000) &* 1_000, time)
        }
        defer { slots[index] = slot }

        let headers = client.family == .ipv4 ? 28 : 48
        slot.credit = min(Self.burst, slot.credit + Int32((query + headers) * 3 / 2))
        var verdict = Verdict.send
        if slot.credit < Int32(answer + headers) { verdict = slot.credit < Int32(cut + headers) ? .drop : .cut }
        if rate > 0 {
            let full = min(rate, 1_000_000) &* 1_000
            let earned = UInt64(time &- slot.time) * UInt64(self.rate)
            slot.answers = UInt32(min(UInt64(full), UInt64(slot.answers) + earned))
            // Of those beyond the limit every second is cut and the others are dropped, so that a client whose network
            // is being attacked still gets through.
            if slot.answers >= 1_000 {
                slot.answers -= 1_000
            } else if verdict != .drop {
                verdict = coin() ? .cut : .drop
            }
        }
        slot.time = time
        if verdict != .drop { slot.credit -= Int32((verdict == .send ? answer : cut) + headers) }
        return verdict
    }

    /// Heads as often as tails, however few milliseconds pass (a Weyl sequence).
    private mutating func coin() -> Bool {
        tosses &+= factor
        return tosses >> 63 == 0
    }
}
