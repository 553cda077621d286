import Foundation
import Testing

@testable import SteeringDNS

@Suite struct RecordDataTests {
    @Test(
        "records are duplicates whatever the case of names in the types of RFC 4034, section 6.2, alone",
        arguments: [
            ("SVCB 1", false), ("HTTPS 1", false), ("LP 1", false), ("TALINK b.", false), ("IPSECKEY 1 3 0", false),
            ("NSAP-PTR", false), ("TXT", false), ("NS", true), ("CNAME", true), ("MX 1", true), ("RP b.", true),
            ("KX 1", true),
            ("DNAME", true), ("PTR", true), ("MINFO b.", true), ("AFSDB 1", true), ("RT 1", true), ("PX 1 b.", true),
            ("MB", true), ("MG", true), ("MR", true), ("NAPTR 1 1 a b c", true), ("SRV 1 1 1", true),
        ] as [(String, Bool)])
    func twins(text: String, areEqual: Bool) throws {
        let forms = try zone("w \(text) twin.\nw \(text) TWIN.").map { RecordData.folded($0.data, type: $0.type) }
        #expect((forms[0] == forms[1]) == areEqual)
    }

    @Test("the guide lists the types that have a text form") func guide() throws {
        let page = #filePath.components(separatedBy: "/Tests/")[0] + "/docs/steer-dns.md"
        let row = try String(contentsOfFile: page, encoding: .utf8).split(separator: "\n").first {
            $0.hasPrefix("| types in text form |")
        }
        let listed = row?.split { $0 == "|" || $0 == " " }.dropFirst(4).map(String.init)
        #expect(listed == RecordTable.rows.values.filter { $0.fields != nil }.map(\.name).sorted())
    }

    @Test("no data traps, and what is well formed is printed and read as the same data") func anyData() throws {
        var generator = ZoneGenerator(seed: 77)
        let seeds = [
            "0a030003616263", "00000102 0304", "0001 18 04 c0000200", "000000010003 0006400000000003",
            "c000020106 00000040",
            "00331613 8916cb3c 70be15f0 00988d20", "10020004 20010db800000000000000000000000101020304 00",
            "03616263 03646566",
            "0100000a 0001 03 616263",
        ].map { text in
            stride(from: 0, to: text.filter { $0 != " " }.count - 1, by: 2).map { index in
                let digits = Array(text.filter { $0 != " " })
                return UInt8(String(digits[index...index + 1]), radix: 16)!
            }
        }
        var printed = 0
        for number in RecordTable.rows.keys.sorted() {
            let type = RecordType(rawValue: number)
            guard type.fields != nil else { continue }
            for _ in 0..<2_000 {
                var data = generator.pick(seeds)
                for _ in 0..<generator.number(0...3) {
                    switch generator.number(0...2) {
                    case 0:
                        if !data.isEmpty {
                            data[generator.number(0...data.count - 1)] = UInt8(generator.number(0...255))
                        }
                    case 1: data = Array(data.prefix(generator.number(0...data.count)))
                    default: data.insert(UInt8(generator.number(0...255)), at: generator.number(0...data.count))
                    }
                }
                let record = ResourceRecord(owner: .root, type: type, ttl: 5, data: data)
                let text = ZoneFile.text(of: record)
                if text.contains("\\#") { continue }
                printed += 1
                if type.isForSignedZones { continue }
                let again = try zone(text)
                // Bits of services may have zero bytes at their end, which the text does not show.
                if again != [record], number != 11 { Issue.record("\(record) is printed as \(text)") }
            }
        }
        #expect(printed > 10_000, "\(printed)")
    }
}
