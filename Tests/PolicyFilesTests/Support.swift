import Glibc
import PolicyFiles
import Steering
import Testing

/// A seeded generator, so that a failing random test fails again: SplitMix64.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// A policy without conflicts, of labels and interfaces that YAML readers like to misread, in random groups.
func randomPolicy(using generator: inout SplitMix64) throws -> Policy {
    let labels: [Label] = ["web", "no", "null", "1e3", "080", "0x1F", "yes", "a.b_c-d", "1"]
    let portSets: [PortSet] = [.all, [0], [80], [80, 443, 8000...8999], [65535], [1...2, 4...5], [0...65534]]
    let outcomes = labels.map { Outcome.label($0) } + [.refuse, .pass]
    let interfaces: [InterfaceName?] = [nil, nil, "eth0", "no", "1e3", "~", "a\"b\\c", "#x", "eth0.1", "-"]
    var policy = Policy()
    for _ in 0..<Int.random(in: 0...40, using: &generator) {
        let isIPv4 = Bool.random(using: &generator)
        let length = Int.random(in: 0...(isIPv4 ? 32 : 128), using: &generator)
        let high = UInt128(generator.next()) << 64
        let address = isIPv4 ? IPAddress(ipv4: UInt32(truncatingIfNeeded: high >> 64)) : IPAddress(ipv6: high)
        // Few sources, so that they meet.
        let source: IPPrefix? =
            Bool.random(using: &generator)
            ? nil
            : IPPrefix(
                masking: isIPv4 ? IPAddress(ipv4: 0xc633_6407) : IPAddress(ipv6: 0xfd00 << 112 | 7),
                length: [8, 16, isIPv4 ? 32 : 128].randomElement(using: &generator)!)
        let binding = try Binding(
            ProtocolMatch.allCases.randomElement(using: &generator)!, to: IPPrefix(masking: address, length: length),
            ports: portSets.randomElement(using: &generator)!, from: source,
            on: interfaces.randomElement(using: &generator)!, outcomes.randomElement(using: &generator)!)
        var larger = policy
        larger.bind(binding)
        if (try? larger.validate()) != nil { policy = larger }
    }
    for label in labels where Bool.random(using: &generator) { policy[label].withoutSocket = .pass }
    return policy
}

/// The policy, or nil after a check that the error is the documented one.
func outcome(of bytes: [UInt8], _ format: PolicyFormat, _ comment: String = "") -> Policy? {
    do throws(SteeringError) {
        return try PolicyFile.parse(bytes, name: "f", format: format)
    } catch {
        if error.code != .invalidPolicyFile { Issue.record("\(error.code) \(error.message) \(comment)") }
        if error.message.contains("\0") { Issue.record("a NUL in a message \(comment)") }
        return nil
    }
}

/// The message of the error that reading must throw.
func refusal(of text: String, _ format: PolicyFormat = .yaml) -> String {
    do throws(SteeringError) {
        let policy = try PolicyFile.parse(text, name: "f", format: format)
        return "no error, \(policy)"
    } catch {
        #expect(error.code == .invalidPolicyFile)
        return error.message
    }
}

/// A directory that is removed in the end.
final class TemporaryDirectory {
    let path: String

    init() throws {
        path = "/tmp/policy-files-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        try #require(mkdir(path, 0o700) == 0)
    }

    @discardableResult
    func write(_ text: String, to name: String) throws -> String {
        let file = try #require(fopen("\(path)/\(name)", "w"))
        defer { fclose(file) }
        #expect(fputs(text, file) >= 0)
        return "\(path)/\(name)"
    }

    deinit {
        for name in [
            "policy.yaml", "policy.json", "prefixes.txt", "blocked.txt", "more.json", "a.yaml", "b.yaml", "c.yaml",
            "fifo", "large",
        ] {
            remove("\(path)/\(name)")
        }
        rmdir(path)
    }
}
