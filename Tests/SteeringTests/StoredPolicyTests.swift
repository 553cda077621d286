import KernelTestSupport
import Testing

@testable import Steering

@Suite
struct StoredPolicyTests {
    private static let labels: [Label] = ["a", "b", "web-1", "x.y_z", "registered"]

    /// Random policies as they are stored, numbers included.
    private static func stored(
        seed: UInt64, count: Int, bindings: ClosedRange<Int>, conditions: Bool = true
    ) throws -> [StoredPolicy] {
        var policies = RandomPolicies(
            seed: seed, labels: labels.dropLast(), conditions: conditions,
            interfaces: ["lo", "eth0", "123456789012345"])
        return try (0..<count).map { number in
            let count = Int.random(in: bindings, using: &policies.random)
            let policy = policies.policy(bindings: count)
            var numbers = LabelNumbers()
            for label in labels.shuffled(using: &policies.random) { _ = try numbers.assign(label) }
            for label in labels where !policy.labels.contains(label) && Bool.random(using: &policies.random) {
                numbers.release(label)
            }
            var indices: [InterfaceName: UInt32] = [:]
            for interface in policy.interfaces where Bool.random(using: &policies.random) {
                indices[interface] = .random(in: 1 ... .max, using: &policies.random)
            }
            return StoredPolicy(
                generation: policies.random.next(), namespaceCookie: UInt64(number), policy: policy, numbers: numbers,
                interfaceIndices: indices)
        }
    }

    @Test("What is stored is read again", arguments: [false, true])
    func roundTrip(conditions: Bool) throws {
        for stored in try Self.stored(seed: 1, count: 300, bindings: 0...30, conditions: conditions) {
            let bytes = stored.encoded()
            let read = try StoredPolicy(decoding: bytes)
            #expect(read == stored && read.policy.bindings == stored.policy.bindings)
            #expect(read.encoded() == bytes)
            #expect(try StoredPolicy(decoding: bytes + [UInt8](repeating: 7, count: 21)) == stored)
        }
    }

    @Test("Numbers that were free stay free, and are given once")
    func numbersGoOn() throws {
        for stored in try Self.stored(seed: 2, count: 20, bindings: 1...3) {
            var numbers = try StoredPolicy(decoding: stored.encoded()).numbers
            for number in 0..<1024 where numbers.labels.count < 1024 { _ = try numbers.assign(Label("more\(number)")) }
            #expect(Set(numbers.labels.map { numbers[$0]! }) == Set(0..<1024))
            #expect(throws: SteeringError.self) { try numbers.assign("one-more") }
        }
    }

    @Test("Cut off anywhere it is damaged")
    func truncations() throws {
        let bytes = try Self.stored(seed: 3, count: 1, bindings: 12...12)[0].encoded()
        for count in 0..<bytes.count { Self.expectDamaged(Array(bytes[..<count])) }
    }

    @Test("One bit changed anywhere is damage")
    func bits() throws {
        let bytes = try Self.stored(seed: 4, count: 1, bindings: 8...8)[0].encoded()
        for bit in 0..<bytes.count * 8 {
            var changed = bytes
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(throws: SteeringError.self) { try StoredPolicy(decoding: changed) }
        }
    }

    @Test("Random damage, even with a checksum that fits, gives an error or a policy in its one form")
    func mutations() throws {
        var random = SeededGenerator(seed: 5)
        var valid = 0
        for stored in try Self.stored(seed: 6, count: 400, bindings: 0...10) {
            let words = Bytes.words(of: stored.encoded())
            for _ in 0..<50 {
                var changed = words
                for _ in 0..<Int.random(in: 1...3, using: &random) {
                    let at = Int.random(in: 3..<words.count, using: &random)
                    switch Int.random(in: 0..<5, using: &random) {
                    case 0: changed[at] = random.next()
                    case 1: changed[at] = words.randomElement(using: &random)!
                    case 2: changed[at] &+= 1
                    case 3: changed.swapAt(at, Int.random(in: 3..<words.count, using: &random))
                    default: changed[at] ^= 1 << UInt64.random(in: 0..<64, using: &random)
                    }
                }
                changed[2] = StoredPolicy.checksum(of: changed)
                let bytes = Bytes.bytes(of: changed)
                do throws(SteeringError) {
                    let read = try StoredPolicy(decoding: bytes)
                    valid += 1
                    // Its bindings, taken one by one, make the same policy and the same bytes.
                    let again = Policy(read.policy.bindings.shuffled(using: &random), options: read.policy.options)
                    #expect(again == read.policy && read.encoded() == bytes)
                } catch {
                    #expect(error.code == .damagedState, "\(error)")
                }
            }
        }
        #expect(valid > 1000, "only \(valid) of 20,000 were valid: the sample shows little")
    }

    @Test("Sources and interfaces that are none, out of order or of no binding are damage")
    func damagedConditions() throws {
        let policy = try Policy([
            Binding(.tcp, to: IPPrefix("192.0.2.0/24"), ports: [80], from: IPPrefix("10.0.0.0/8"), on: "eth0", .pass),
            Binding(.tcp, to: IPPrefix("192.0.2.0/24"), ports: [80], on: "eth0", .pass),
        ])
        let words = Bytes.words(
            of: StoredPolicy(generation: 1, namespaceCookie: 2, policy: policy, numbers: LabelNumbers()).encoded())
        // The conditions are ten words, the numbers of conditions the last two.
        let first = words.count - 12, second = first + 5, numbers = words.count - 2
        for (at, word) in [
            (first, words[first] | 1), (first + 1, 1), (first + 2, 9), (first + 2, 33),
            (first + 2, 8 | 1 << 8), (first + 2, 8 | 1 << 9), (first + 2, 0), (first + 3, 0), (first + 3, 0x2f),
            (first + 2, words[first + 2] | 1 << 32),  // Another number than the second's.
            (first + 3, words[first + 3] | 1 << 56), (first + 4, 1), (second + 3, 0),
            (numbers, 1), (numbers, 2), (numbers + 1, 0), (numbers + 1, .max), (numbers + 1, 1 | 1 << 32),
        ] as [(Int, UInt64)] {
            var changed = words
            changed[at] = word
            changed[2] = StoredPolicy.checksum(of: changed)
            Self.expectDamaged(Bytes.bytes(of: changed))
        }
        for (place, count) in [(10, 1), (10, 3), (11, 1), (11, 3)] {
            var changed = words
            changed[place] = UInt64(count)
            changed[2] = StoredPolicy.checksum(of: changed)
            Self.expectDamaged(Bytes.bytes(of: changed))
        }
    }

    @Test("A newer layout is named, with both versions")
    func newer() throws {
        var bytes = try Self.stored(seed: 7, count: 1, bindings: 1...1)[0].encoded()
        bytes[0] = 9
        #expect {
            try StoredPolicy(decoding: bytes)
        } throws: { error in
            let error = error as? SteeringError
            return error?.code == .newerLayout && error!.message.contains("layout 9, this one knows \(Pins.layout)")
        }
    }

    private static func expectDamaged(_ bytes: [UInt8]) {
        #expect {
            try StoredPolicy(decoding: bytes)
        } throws: {
            ($0 as? SteeringError)?.code == .damagedState
        }
    }
}
