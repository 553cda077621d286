import AddressPools

/// Limits UDP responses so that the server cannot amplify spoofed queries.
///
/// After a first 4 KiB, a network (/24 or /56) is sent at most 1.5 times the bytes received from it, packet headers
/// included, and 125 bytes per second, half of it to networks that take turns; optionally, there is a limit on answers
/// per second as well. Answers beyond the limits are truncated to the question and EDNS, at most 1.3 times the size of
/// the query, or dropped if the network has no credit for that. A real client retries over TCP or with a cookie (RFC
/// 7873), neither of which is limited.
///
/// Each worker has a table of fixed size, in which a network has one slot. Networks that collide share the first 4 KiB,
/// so evicting each other gains nothing, and credit earned by one does not pass to another. What they have used up comes
/// back with time, in a minute: otherwise a flood from spoofed networks would leave newcomers without credit for good.
/// The rate limit starts anew on each eviction.
struct ResponseLimiter {
    private var slots: [Slot]
    private let rate: UInt32
    private let factor: UInt64
    private var tosses: UInt64 = 0

    private struct Slot {
        var network: UInt32 = 0
        /// The bytes that may be sent.
        var credit = burst
        /// The most credit that the next network in the slot may start with.
        var first = burst
        /// The answers that may be sent, in thousandths.
        var answers: UInt32 = 0
        /// The time of the last query, in milliseconds.
        var time: UInt32 = 0

        /// Gives back credit for the time since the last query: a byte whenever `recovery` bits of the clock wrap.
        mutating func advance(to now: UInt32) {
            let shift = ResponseLimiter.recovery
            let ticks = ((now >> shift) &- (time >> shift)) & (UInt32.max >> shift)
            let bytes = Int32(truncatingIfNeeded: min(ticks, UInt32(burst)))
            credit = min(burst, credit + bytes)
            first = min(burst, first + bytes)
            time = now
        }
    }

    enum Verdict { case send, truncate, drop }

    static let burst: Int32 = 4_096
    /// A byte of credit comes back every 16 milliseconds, which are this many bits of the clock.
    static let recovery: UInt32 = 4

    /// Makes a limiter.
    ///
    /// - Parameters:
    ///   - rate: Answers per second and network; 0 for no such limit. The burst is one second's worth, at most
    ///     1,000,000.
    ///   - places: The number of slots: a power of two up to 65,536.
    init(rate: UInt32, places: Int = 1 << 16) {
        self.rate = rate
        slots = Array(repeating: Slot(), count: places)
        var system = SystemRandomNumberGenerator()
        factor = system.next() | 1
    }

    /// Decides about an answer, and charges the client's network for it.
    ///
    /// - Parameters:
    ///   - client: The client's address.
    ///   - query: The size of the query in bytes.
    ///   - answer: The size of the full answer in bytes.
    ///   - truncated: The size of the truncated answer in bytes.
    ///   - time: Milliseconds of a monotonic clock, which may wrap around.
    mutating func verdict(_ client: IPAddress, query: Int, answer: Int, truncated: Int, time: UInt32) -> Verdict {
        let network = IPPrefix(masking: client, length: client.family == .ipv4 ? 24 : 56).address.bits
        let folded = UInt64(truncatingIfNeeded: network >> 64) ^ UInt64(truncatingIfNeeded: network)
        let hash = (folded &+ 1) &* factor
        let index = Int(truncatingIfNeeded: hash >> 48) & (slots.count - 1)
        // 0 marks an empty slot.
        let mark = UInt32(truncatingIfNeeded: hash >> 16) | 1
        var slot = slots[index]
        let elapsed = time &- slot.time
        slot.advance(to: time)
        if slot.network != mark {
            // A newcomer starts with no more than any earlier occupant left: it may be one of them coming back.
            slot.first = min(slot.first, slot.credit)
            (slot.network, slot.credit) = (mark, slot.first)
            slot.answers = min(rate, 1_000_000) &* 1_000
        }
        defer { slots[index] = slot }

        let headers = client.family == .ipv4 ? 28 : 48
        slot.credit = min(Self.burst, slot.credit + Int32((query + headers) * 3 / 2))
        var verdict = Verdict.send
        if slot.credit < Int32(answer + headers) {
            verdict = slot.credit < Int32(truncated + headers) ? .drop : .truncate
        }
        if rate > 0 {
            let full = min(rate, 1_000_000) &* 1_000
            let earned = UInt64(elapsed) * UInt64(self.rate)
            slot.answers = UInt32(min(UInt64(full), UInt64(slot.answers) + earned))
            // Every second answer beyond the rate is truncated and the others are dropped, so that a client in a
            // network under attack still gets through.
            if slot.answers >= 1_000 {
                slot.answers -= 1_000
            } else if verdict != .drop {
                verdict = coin() ? .truncate : .drop
            }
        }
        if verdict != .drop { slot.credit -= Int32((verdict == .send ? answer : truncated) + headers) }
        return verdict
    }

    /// Returns true half of the time, at any rate of queries (a Weyl sequence).
    private mutating func coin() -> Bool {
        tosses &+= factor
        return tosses >> 63 == 0
    }
}
