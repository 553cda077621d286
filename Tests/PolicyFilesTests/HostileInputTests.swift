import Glibc
import PolicyFiles
import Steering
import Testing

@Suite struct HostileInputTests {
    @Test("random bytes parse or throw invalidPolicyFile", arguments: PolicyFormat.allCases)
    func randomBytes(format: PolicyFormat) {
        var generator = SplitMix64(seed: 7)
        let alphabet = Array("{}[]:,-?&*!|>'\"%@`#~ \n\t\\abinds:019.é".utf8)
        for round in 0..<6_000 {
            let bytes = (0..<Int.random(in: 0...60, using: &generator)).map { _ in
                round % 4 == 0
                    ? UInt8.random(in: 0...255, using: &generator) : alphabet.randomElement(using: &generator)!
            }
            _ = outcome(of: bytes, format, "\(bytes)")
        }
    }

    @Test("damaged files parse or throw invalidPolicyFile", arguments: PolicyFile.Output.allCases)
    func damagedFiles(output: PolicyFile.Output) throws {
        var generator = SplitMix64(seed: 8)
        let alphabet = Array("{}[]:,-&*!'\"# \na0/.".utf8)
        let format: PolicyFormat = output == .yaml ? .yaml : .json
        var accepted = 0
        var refused = 0
        for _ in 0..<200 {
            let text = Array(PolicyFile.write(try randomPolicy(using: &generator), as: output).utf8)
            for _ in 0..<10 {
                var damaged = text
                for _ in 0..<Int.random(in: 1...2, using: &generator) {
                    let place = Int.random(in: 0..<damaged.count, using: &generator)
                    switch Int.random(in: 0...2, using: &generator) {
                    case 0: damaged[place] = alphabet.randomElement(using: &generator)!
                    case 1: damaged.insert(alphabet.randomElement(using: &generator)!, at: place)
                    default: damaged.removeSubrange(place..<min(place + 9, damaged.count - 1))
                    }
                }
                if let policy = outcome(of: damaged, format, String(decoding: damaged, as: UTF8.self)) {
                    accepted += 1
                    #expect(throws: Never.self) { try policy.validate() }
                } else {
                    refused += 1
                }
            }
        }
        // A fuzz test that sees one kind of result tests nothing.
        #expect(accepted > 20 && refused > 500, "\(accepted) \(refused)")
    }

    @Test(
        "deep nesting is refused, on a small stack too",
        arguments: ["[", "- ", "? ", "{a: ", "[? ", "{? ", "- - ", "a: [", "[{", "{\"a\":", "!!seq [", "-\n "])
    func deepNesting(unit: String) throws {
        for depth in [17, 900, 5_000, 100_000] {
            let bytes = Array(String(repeating: unit, count: depth).utf8)
            let closed = unit == "[" ? bytes + Array(String(repeating: "]", count: depth).utf8) : bytes
            for format in PolicyFormat.allCases { #expect(onSmallStack { outcome(of: closed, format) } == nil) }
        }
    }

    @Test("JSON lies at most 16 deep") func jsonDepth() {
        let text = String(repeating: "[", count: 17) + String(repeating: "]", count: 17)
        #expect(refusal(of: text, .json).hasPrefix("f:1:17: lists and mappings are nested more than 16 levels deep"))
        #expect(refusal(of: text, .yaml).hasPrefix("f:1:17: lists and mappings are nested more than 16 levels deep"))
        #expect(refusal(of: String(text.dropFirst().dropLast()), .json).contains("a policy is a list"))
    }

    @Test("alias bombs are refused before they go off", arguments: [false, true])
    func aliasBombs(asKey: Bool) {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...30 {
            let list = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
            text += asKey ? "? &a\(level) [\(list)]\n: x\n" : "a\(level): &a\(level) [\(list)]\n"
        }
        #expect(refusal(of: text).contains("anchors and aliases are not allowed"))
    }

    @Test("many comments that look like aliases are not a bomb's few") func starsInComments() throws {
        let text = "# *one* **two** ******** 2*3 R&D\nbindings: []\n"
        #expect(try PolicyFile.parse(text, name: "f", format: .yaml).isEmpty)
    }

    @Test("a text over the size limit is refused unread") func tooLarge() {
        let bytes = [UInt8](repeating: UInt8(ascii: "#"), count: PolicyFile.maximumSize + 1)
        #expect(outcome(of: bytes, .yaml) == nil)
    }
}

/// Runs a body on a thread of 2 MiB, a quarter of what threads have. libyaml stops at 1,000 levels, before our 16 are
/// counted, and those must fit.
private func onSmallStack(_ body: @escaping @Sendable () -> Policy?) -> Policy? {
    final class Job {
        let body: () -> Policy?
        var result: Policy?
        init(_ body: @escaping () -> Policy?) { self.body = body }
    }
    let job = Job(body)
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setstacksize(&attributes, 2 << 20)
    var thread = pthread_t()
    let started = pthread_create(
        &thread, &attributes,
        { argument in
            let job = Unmanaged<Job>.fromOpaque(argument!).takeUnretainedValue()
            job.result = job.body()
            return nil
        }, Unmanaged.passUnretained(job).toOpaque())
    precondition(started == 0)
    pthread_join(thread, nil)
    return job.result
}
