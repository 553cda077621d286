import AddressPools
import Testing

@Suite struct ParserFuzzTests {
    private static let alphabet = Array("0123456789abcdef:./%- ".utf8)
    /// Half of the texts are made of the characters of one kind of value, which makes accepted ones common.
    private static let narrowAlphabets = [Array("01:".utf8), Array("12.".utf8), Array("0123456789-,".utf8)]
    private static let endings = ["", "/0", "/1", "/32", "/128", ":80", "-99"]

    private func randomText(upTo length: Int, using generator: inout SplitMix64) -> String {
        let isNarrow = Bool.random(using: &generator)
        let alphabet = isNarrow ? Self.narrowAlphabets.randomElement(using: &generator)! : Self.alphabet
        let bytes = (0..<Int.random(in: 0...length, using: &generator)).map { _ in
            alphabet.randomElement(using: &generator)!
        }
        return String(decoding: bytes, as: UTF8.self) + (isNarrow ? Self.endings.randomElement(using: &generator)! : "")
    }

    @Test("no text traps a parser, and every accepted one survives a round trip", arguments: 100...103)
    func randomTexts(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        var accepted = [0, 0, 0, 0]
        for _ in 0..<50_000 {
            let text = randomText(upTo: 18, using: &generator)
            if let value = try? IPAddress(text) {
                accepted[0] += 1
                if (try? IPAddress(value.description)) != value { Issue.record("\(text) as an address") }
            }
            if let value = try? IPPrefix(text) {
                accepted[1] += 1
                if (try? IPPrefix(value.description)) != value { Issue.record("\(text) as a prefix") }
            }
            if let value = try? PortSet(text) {
                accepted[2] += 1
                if (try? PortSet(value.description)) != value { Issue.record("\(text) as a set of ports") }
            }
            if let value = try? PortRange(text) {
                accepted[3] += 1
                if (try? PortRange(value.description)) != value { Issue.record("\(text) as a port range") }
            }
            if let value = try? SocketAddress(text), (try? SocketAddress(value.description)) != value {
                Issue.record("\(text) as a socket address")
            }
        }
        // A fuzz test that accepts nothing tests nothing.
        #expect(accepted.allSatisfy { $0 > 10 }, "\(accepted)")
    }

    @Test("damaged addresses never trap, and every accepted one survives a round trip") func damagedTexts() throws {
        var generator = SplitMix64(seed: 19)
        var accepted = 0
        for _ in 0..<50_000 {
            let family = IPFamily.allCases.randomElement(using: &generator)!
            let address = randomAddress(family, using: &generator)
            let length = Int.random(in: 0...family.bitWidth, using: &generator)
            var text = Array(IPPrefix(masking: address, length: length).description.utf8)
            for _ in 0..<Int.random(in: 0...2, using: &generator) {
                let place = Int.random(in: 0..<text.count, using: &generator)
                text[place] = Self.alphabet.randomElement(using: &generator)!
            }
            let string = String(decoding: text, as: UTF8.self)
            if let value = try? IPPrefix(string) {
                accepted += 1
                if (try? IPPrefix(value.description)) != value { Issue.record("\(string)") }
            }
        }
        #expect(accepted > 10_000)
    }
}
