import SteeringDNS
import Testing

@Suite struct ZoneFuzzTests {
    private static let seeds = [
        "$TTL 1h\n@ SOA ns1 h ( 1 1d 2h 4w 5m ) ; c\n NS ns1\nns1 60 IN A 192.0.2.1\n AAAA 2001:db8::1\n",
        "$ORIGIN sub\nw TXT \"a b\" c\\;d \"\\200\\\"\" ( e\n f )\n@ MX 10 w\n CAA 0 issue \"x\"\n",
        "h HTTPS 1 . alpn=\"h2,h3\" port=53 ipv4hint=192.0.2.1 mandatory=alpn,port key667=\"a b\" ech=AQI=\n",
        "g TYPE666 \\# 3 abcdef\ng A \\# 4 01020304\nd DS 1 8 9 ab cd\ns SSHFP 4 9 (00 01)\n",
        "n NAPTR 1 2 u \"E2U\" \"!a!b!\" .\n_s._t SRV 0 1 2 a.b\\.c.\np PTR \\064x\nt TLSA 3 1 0 abcd\ni HINFO a b\n",
        "sub NS ns.sub\nns.sub A 192.0.2.1\nw CNAME v\n*.x A 192.0.2.2\nh SVCB 0 a.\nh 5 SVCB 2 . ipv6hint=::1\r\n",
    ].map { Array($0.utf8) }

    private static let words = [
        "(", ")", "\"", "\\", ";", "\n", " ", "\t", "\r", "@", ".", "\\#", "$TTL ", "$ORIGIN ", "IN ", "A ", "0",
        "65535", "4294967296",
        "=", ",", "\0", "\u{FC}", "\\999", "\\200", "1h", "TXT ", "HTTPS ", "SOA ", "alpn=", "key7=",
    ].map { Array($0.utf8) }

    private func damaged(using generator: inout ZoneGenerator) -> [UInt8] {
        var bytes = generator.pick(Self.seeds)
        for _ in 0..<generator.number(1...3) {
            let place = generator.number(0...bytes.count)
            let end = min(bytes.count, place + generator.number(0...9))
            switch generator.number(0...6) {
            case 0: if place < bytes.count { bytes[place] ^= 1 << UInt8(generator.number(0...7)) }
            case 1: bytes.removeSubrange(place..<end)
            case 2: bytes.insert(contentsOf: bytes[place..<end], at: generator.number(0...bytes.count))
            case 3: bytes.removeSubrange(place...)
            case 4:
                let other = generator.pick(Self.seeds)
                bytes.replaceSubrange(place..<end, with: other[generator.number(0...other.count)...].prefix(30))
            default: bytes.insert(contentsOf: generator.pick(Self.words), at: place)
            }
        }
        return bytes
    }

    @Test(
        "no damaged file traps the reader: it gives records that survive being printed, or an error with a place",
        arguments: 0..<4 as Range<UInt64>)
    func damagedFiles(seed: UInt64) throws {
        var generator = ZoneGenerator(seed: 700 + seed)
        let origin = try DNSName("example.com")
        var (accepted, records, zones) = (0, 0, 0)
        var sentences: Set<Substring> = []
        for _ in 0..<25_000 {
            let bytes = damaged(using: &generator)
            do throws(ZoneFileError) {
                let file = try ZoneFile(bytes, named: "f", origin: origin, defaultTTL: 5)
                accepted += 1
                records += file.records.count
                let printed = file.records.map { ZoneFile.text(of: $0) + "\n" }.joined()
                let again = try ZoneFile(Array(printed.utf8), named: "printed").records
                if again != file.records { Issue.record("printed differently: \(printed)") }
                if (try? CheckedZone(file, origin: origin)) != nil { zones += 1 }
            } catch {
                check(error, in: bytes)
                sentences.insert(error.message.suffix(30))
            }
        }
        // A fuzz test that accepts nothing, or everything, tests nothing.
        #expect(accepted > 2_000 && accepted < 20_000, "\(accepted)")
        #expect(records > accepted)
        #expect(zones > 100, "\(zones)")
        #expect(sentences.count > 60, "\(sentences.count)")
    }

    /// The place of an error is one that the file has, or the end of one of its lines.
    private func check(_ error: ZoneFileError, in bytes: [UInt8]) {
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let isPlace =
            lines.indices.contains(error.line - 1) && (1...lines[error.line - 1].count + 1).contains(error.column)
        if error.file != "f" || !isPlace || error.message.isEmpty
            || !error.message.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F })
        {
            Issue.record("\(error) in \(String(decoding: bytes, as: UTF8.self))")
        }
    }
}
