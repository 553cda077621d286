// The C library reads and prints addresses too; this file alone compares the two, so it alone has pointers.
#if canImport(Glibc)
import AddressPools
import Glibc
import Testing

@Suite struct IPAddressOracleTests {
    private func systemRead(_ text: String) -> IPAddress? {
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 { return IPAddress(bytes: bytes.prefix(4)) }
        if inet_pton(AF_INET6, text, &bytes) == 1 { return IPAddress(bytes: bytes) }
        return nil
    }

    private func systemPrint(_ address: IPAddress) -> String? {
        var text = [CChar](repeating: 0, count: 64)
        let family = address.family == .ipv4 ? AF_INET : AF_INET6
        guard inet_ntop(family, address.bytes, &text, socklen_t(text.count)) != nil else { return nil }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    @Test("printing agrees with inet_ntop", arguments: IPFamily.allCases)
    func printing(family: IPFamily) {
        var generator = SplitMix64(seed: 2)
        var compared = 0
        for _ in 0..<20_000 {
            let address = randomAddress(family, using: &generator)
            // The C library also prints the deprecated IPv4-compatible addresses (::/96) with dots.
            if family == .ipv6, address.bits >> 32 == 0 { continue }
            #expect(address.description == systemPrint(address))
            compared += 1
        }
        #expect(compared > 19_000)
    }

    @Test("printing IPv4-mapped addresses agrees with inet_ntop") func printingMapped() {
        var generator = SplitMix64(seed: 3)
        for _ in 0..<5_000 {
            let address = IPAddress(ipv6: 0xFFFF << 32 | UInt128(generator.next() >> 32))
            #expect(address.description == systemPrint(address))
        }
    }

    @Test("reading agrees with inet_pton on random texts and on damaged addresses") func reading() {
        var generator = SplitMix64(seed: 4)
        let alphabet = Array("0123456789abcdefF:.:.:%g")
        var accepted = 0
        for round in 0..<200_000 {
            var text: [Character] = []
            if round % 2 == 0 {
                let family = IPFamily.allCases.randomElement(using: &generator)!
                text = Array(randomAddress(family, using: &generator).description)
                for _ in 0..<Int.random(in: 0...2, using: &generator) where !text.isEmpty {
                    let place = Int.random(in: 0..<text.count, using: &generator)
                    switch generator.next() % 3 {
                    case 0: text.remove(at: place)
                    case 1: text.insert(alphabet.randomElement(using: &generator)!, at: place)
                    default: text[place] = alphabet.randomElement(using: &generator)!
                    }
                }
            } else {
                for _ in 0..<Int.random(in: 0...20, using: &generator) {
                    text.append(alphabet.randomElement(using: &generator)!)
                }
            }
            let string = String(text)
            let ours = try? IPAddress(string)
            if ours != systemRead(string) { Issue.record("we and inet_pton differ on \(string)") }
            if ours != nil { accepted += 1 }
        }
        #expect(accepted > 20_000)
        #expect(accepted < 180_000)
    }
}
#endif
