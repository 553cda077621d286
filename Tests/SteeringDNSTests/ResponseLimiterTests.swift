import AddressPools
import Testing

@testable import SteeringDNS

@Suite struct ResponseLimiterTests {
    @Test(
        "over any run no network is sent more than 1.5 times its bytes, 4 KiB, and 125 bytes a second",
        arguments: [1, 2, 3] as [UInt64])
    func amplification(seed: UInt64) throws {
        var generator = ZoneGenerator(seed: seed)
        var limiter = ResponseLimiter(rate: seed == 3 ? 100 : 0)
        var received: [UInt128: Int] = [:], sent: [UInt128: Int] = [:]
        let start = UInt32.max - 5_000
        var time = start
        var verdicts: [ResponseLimiter.Verdict: Int] = [:]
        for _ in 0..<300_000 {
            // Far more networks than places, so that they meet.
            let client =
                generator.flip()
                ? IPAddress(ipv4: UInt32(generator.number(0...30_000_000)))
                : IPAddress(ipv4: UInt32(generator.number(0...2_000)))
            let network = IPPrefix(masking: client, length: 24).address.bits
            let query = generator.number(17...300), truncated = query + generator.number(0...16)
            let answer = max(truncated, generator.number(12...1_232))
            let verdict = limiter.verdict(client, query: query, answer: answer, truncated: truncated, time: time)
            verdicts[verdict, default: 0] += 1
            received[network, default: 0] += query + 28
            switch verdict {
            case .send: sent[network, default: 0] += answer + 28
            case .truncate: sent[network, default: 0] += truncated + 28
            case .drop: break
            }
            let recovered = Int(time &- start) / 16 + 1
            #expect(2 * sent[network, default: 0] <= 3 * received[network]! + 2 * (4_096 + 2 * recovered))
            time &+= UInt32(generator.number(0...1))
        }
        #expect(
            verdicts[.send]! > 1_000 && verdicts[.truncate]! > 1_000 && (verdicts[.drop] ?? 0 > 1_000) == (seed == 3))
    }

    @Test("what one network has earned is not sent to another that meets it", arguments: [1, 4])
    func meeting(places: Int) {
        var generator = ZoneGenerator(seed: UInt64(places))
        var limiter = ResponseLimiter(rate: 0, places: places)
        var received = [Int](repeating: 0, count: 8), sent = received
        for _ in 0..<100_000 {
            let number = generator.number(0...7)
            let query = generator.number(17...300), truncated = query + generator.number(0...16)
            // Much less than came, or much more.
            let answer = generator.flip() ? 12 : 1_232
            let client = IPAddress(ipv4: UInt32(number) << 8)
            received[number] += query + 28
            switch limiter.verdict(client, query: query, answer: answer, truncated: truncated, time: 0) {
            case .send: sent[number] += answer + 28
            case .truncate: sent[number] += truncated + 28
            case .drop: break
            }
            #expect(2 * sent[number] <= 3 * received[number] + 2 * 4_096)
        }
        // They do get whole answers, of what they earned themselves.
        #expect(sent.allSatisfy { $0 > 10_000 })
    }

    @Test("who asks no more than it may be told is never limited")
    func ordinary() throws {
        var limiter = ResponseLimiter(rate: 0)
        let client = try IPAddress("2001:db8::1")
        for _ in 0..<100_000 {
            #expect(limiter.verdict(client, query: 50, answer: 99, truncated: 50, time: 0) == .send)
        }
    }

    @Test("answers a second are counted by network, as time goes by")
    func rate() throws {
        var limiter = ResponseLimiter(rate: 10)
        func sent(_ address: String, _ count: Int, _ time: UInt32) throws -> Int {
            let client = try IPAddress(address)
            return (0..<count).reduce(0) { sum, _ in
                sum + (limiter.verdict(client, query: 40, answer: 56, truncated: 40, time: time) == .send ? 1 : 0)
            }
        }
        #expect(try sent("192.0.2.1", 30, 0) == 10)
        #expect(try sent("192.0.2.2", 30, 0) == 0)
        #expect(try sent("192.0.3.2", 30, 0) == 10)
        #expect(try sent("192.0.2.1", 30, 500) == 5)
        #expect(try sent("192.0.2.1", 30, 100_000) == 10)
    }

    /// Asks a limiter for each of many networks, evenly over some seconds, and returns how many answers were cut.
    private func cut(
        _ limiter: inout ResponseLimiter, _ networks: Range<UInt32>, answer: Int = 120, from start: UInt32,
        seconds: UInt32
    ) -> Int {
        networks.enumerated().reduce(0) { cut, network in
            let time = start &+ UInt32(UInt64(network.offset) * UInt64(seconds) * 1_000 / UInt64(networks.count))
            let client = IPAddress(ipv4: network.element << 8)
            let verdict = limiter.verdict(client, query: 45, answer: answer, truncated: 56, time: time)
            return cut + (verdict == .send ? 0 : 1)
        }
    }

    @Test("after a flood from a million networks, newcomers get whole answers again, and for good")
    func recovery() {
        var limiter = ResponseLimiter(rate: 0)
        // Negative answers, with the SOA.
        #expect(cut(&limiter, 0..<100_000, from: 0, seconds: 10) == 0)
        // Spoofed networks, whose answers are long, spend all that networks in their places may start with.
        #expect(cut(&limiter, 1_000_000..<2_000_000, answer: 500, from: 10_000, seconds: 20) > 100_000)
        #expect(cut(&limiter, 4_000_000..<4_100_000, from: 100_000, seconds: 10) == 0)
        // A million networks, each with a negative answer a minute, take turns in the places.
        for minute in 2..<4 as Range<UInt32> {
            #expect(cut(&limiter, 5_000_000..<6_000_000, from: minute * 60_000, seconds: 60) == 0)
        }
    }
}
