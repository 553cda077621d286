import DNSTestSupport
import Foundation
import KernelTestSupport
import SteeringDNS
import Testing

/// A zone with every type, in several forms: BIND, Knot and NSD read the same bytes from it as steer-dns.
@Suite struct RecordTypePeerTests {
    enum Peer: String, CaseIterable {
        case bind, knot, nsd
    }

    private static let fingerprint = "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"
    private static let key = "AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ=="

    /// Types that all three read in their text form.
    private static let common = [
        "A 192.0.2.1", "AAAA 2001:DB8::1", "NS ns.example.net.", "CNAME foo", "PTR foo.bar.", "HINFO PC \"Li nux\"",
        "MINFO a b.", "MX 10 mail.example.net.", "TXT \"a b\" c \"\" \"\\\"\\200;\"", "RP box.mail txt", "AFSDB 1 afs",
        "RT 10 relay",
        "KEY 256 3 5 AQID", "SRV 1 2 3 host.example.net.", "KX 10 kx",
        "DNAME target.example.net.",
        "NAPTR 100 50 \"u\" \"E2U+sip\" \"!^(.*)$!sip:\\\\1@example.com!\" .",
        "LOC 42 21 54 N 71 06 18 W -24m 30m", "LOC 52 14 05 N 00 08 50 E 10m",
        "LOC 0 N 180 W -100000.00 90000000m 0 0.01m",
        "LOC 1 2 3.4 S 5 6 7.891 E 42849672.95m 1.5m 1234m 99m", "LOC 89 59 59.999 S 179 59 E 0",
        "CERT PKIX 65535 RSASHA256 AQID", "CERT 1 0 0 AQID BA==", "CERT URI 0 0 AQID", "CERT oid 1 ED448 AQID",
        "APL 1:192.168.32.0/21 !1:192.168.38.0/28 2:FF00:0:0:0:0:0:0:0/8", "APL", "APL 1:192.168.32.1/21 1:0.0.0.0/0",
        "SSHFP 4 2 0123456789ABCDEF0123456789abcdef (\n 0123456789abcdef 0123456789abcdef )",
        "IPSECKEY 10 1 2 192.0.2.38 \(key)", "IPSECKEY 10 0 2 . \(key)", "IPSECKEY 10 3 2 my.gw \(key)",
        "IPSECKEY 10 2 2 2001:db8:0:8002::2000:1 AQNRU3mG7TVTO2BkR47u sntb102uFJtugbo6BSGvgqt4AQ==",
        "DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=", "TLSA 3 1 1 \(fingerprint)",
        "SMIMEA 3 1 1 \(fingerprint)",
        "CDS 60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118", "CDS 0 0 0 00", "CDNSKEY 257 3 13 AQID",
        "CDNSKEY 0 3 0 AA==", "OPENPGPKEY AQID BA==", "CSYNC 66 3 A NS AAAA", "CSYNC 66 3", "CSYNC 66 3 TYPE1234 CAA A",
        "ZONEMD 2018031500 1 240 c68090d90a7aed716bc459f9",
        "ZONEMD 2018031500 1 1 (c68090d90a7aed71 6bc459f9340e3d7c 1370d4d24b7e2fc3 a1ddc0b9a87153b9 a9713b3c9ae5cc27 "
            + "777f98b8e730044c)",
        "SVCB 1 foo.example.net. port=53 alpn=\"h2,h3\" key667=\"a b\"", "HTTPS 0 foo.", "HTTPS 1 . ipv4hint=192.0.2.1",
        "SPF \"v=spf1 -all\"", "NID 10 0014:4fff:ff20:ee64", "L32 10 10.1.2.0", "L64 10 2001:0DB8:1140:1000",
        "LP 10 l64-subnet", "EUI48 00-00-5e-00-53-2a", "EUI64 00-00-5E-ef-10-00-00-2a",
        "URI 10 1 \"ftp://ftp1.example.com/public\"", "CAA 128 issue \"ca.example; x\"", "TYPE666 \\# 3 ab cdef",
        "TYPE65535 \\# 0",
        "DS 60485 ECDSAP256SHA256 1 2BB183AF5F22588179A53B0A98631FAD1A292118",
        "DS 60485 rsasha1 1 2BB183AF5F22588179A53B0A98631FAD1A292118",
    ]

    /// Types and forms that BIND and NSD read as text.
    private static let withoutKnot = [
        "WKS 192.0.2.1 TCP 25 80", "WKS 192.0.2.1 udp domain 1023", "MB a", "MG a", "MR a",
        "X25 311061700956", "ISDN \"150862028003217\" \"004\"", "ISDN 150862028003217", "PX 10 map822 mapx400",
        "NSAP 0x47.0005.80.005a00.0000.0001.e133.ffffff000162.00", "NULL \\# 2 abcd", "AVC \"a\" b",
        "DLV 60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118", "NID 10 14:4fff:0:e4",
        "TXT gr\u{FC}\u{DF}e", "TXT \"a\"\"b\"", "TXT a\"b c\"d", "TXT a=\"b\"",
    ]

    /// Types and forms that BIND reads as text; some versions of NSD read most of them, too.
    private static let withBIND = [
        "KEY 257 3 RSASHA256 AQIDBA==",
        "WKS 192.0.2.1 17", "CERT 1 0 0 AQ ID BA ==", "GPOS -32.6882 116.8652 10.0", "NSAP-PTR foo", "NINFO \"a\" b",
        "RKEY 0 1 5 AQID", "TALINK a b",
        "HIP 2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cI rvs1. rvs2",
        "HIP 2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cI",
        "RESINFO qnamemin exterr=15,16", "WALLET \"a\" b",
    ]

    /// Capitals in the names of data, which Knot and NSD do not keep.
    private static let withCapitals = [
        "NS Ns.example.net.", "CNAME Foo", "MINFO a B.", "MX 10 Mail.example.net.", "RP box.Mail txt", "DNAME T.a.",
        "IPSECKEY 10 3 2 My.gw \(key)", "SVCB 1 foo.Example.net.", "LP 10 L64-subnet", "TALINK a B",
    ]

    /// Algorithms by the names of the IANA registry, and by those of BIND: the same numbers.
    private static let algorithms = [
        "DS 1 RSASHA1-NSEC3-SHA1 9 ab", "DS 1 DSA-NSEC3-SHA1 9 ab", "DS 1 ECC-GOST 9 ab",
    ]

    private static let top = "$ORIGIN example.com.\n$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns.example.net.\n"

    /// Each record in its text form, if the peer reads it, and in each form that all servers read.
    private static func zone(for peer: Peer?) throws -> String {
        let readable =
            common + (peer == .knot ? [] : withoutKnot) + (peer == .bind ? withBIND + withCapitals : [])
            + (peer == .knot || peer == .nsd ? algorithms : [])
        let all = common + withoutKnot + withBIND + (peer == .bind ? withCapitals : []) + algorithms
        var text = top
        for (number, line) in all.enumerated() {
            let record = try read("x \(line)")[0]
            let name = line.prefix { $0 != " " }
            let data = line.dropFirst(name.count)
            let generic = " \\# \(record.data.count) \(hexadecimal(record.data))\n"
            // DS records and aliases need names of their own, and DS records a delegation.
            let isDS = record.type == .DS
            func add(_ form: String, _ record: String) {
                let owner = "\(form)\(number)"
                text += "\(owner) \(record)" + (isDS ? "\(owner) NS ns.example.net.\n" : "")
            }
            if readable.contains(line) {
                add("text", "\(line)\n")
                add("lower", "60 IN \(name.lowercased())\(data)\n")
                let parts = ZoneFile.text(of: record).split(separator: " ", maxSplits: 3)
                add("printed", "\(parts[3])\n")
            }
            if readable.contains(line) { add("named", "\(name)\(generic)") }
            add("number", "TYPE\(record.type.rawValue)\(generic)")
        }
        return text
    }

    private static func read(_ text: String) throws -> [ResourceRecord] {
        try ZoneFile(Array(text.utf8), named: "zone", origin: try DNSName("example.com"), defaultTTL: 300).records
    }

    @Test("every type in every form has the bytes that BIND, Knot and NSD read", arguments: Peer.allCases)
    func everyType(peer: Peer) throws {
        let text = try Self.zone(for: peer)
        let folder = try DNSBed.folder("", ["zone": text])
        defer { _ = try? shell("rm -r \(folder)") }
        let theirs = try shell(
            "/usr/bin/python3 \(DNSBed.file("readings.py")) \(peer) \(folder)/zone \(folder)"
        )
        .split(separator: "\n").map(String.init)
        let ours = try Self.read(text).map { record in
            let data = record.data.isEmpty ? "-" : hexadecimal(record.data)
            return "\(hexadecimal(record.owner.wire)) \(record.ttl) \(record.type.rawValue) \(data)"
        }
        #expect(Set(ours).subtracting(theirs).sorted() == [], "only steer-dns reads these")
        #expect(Set(theirs).subtracting(ours).sorted() == [], "only \(peer) reads these")
        #expect(ours.count == theirs.count && ours.count > 300, "\(ours.count)")
    }

    @Test("steer-dns answers with every type that it reads") func served() throws {
        let text = try Self.zone(for: .bind)
        let server = try InProcessServer(
            "names: { zones: [zone], policies: [{ name: default, outcome: pass }] }",
            [
                "zone": text.split(separator: "\n").filter {
                    !$0.lowercased().contains(" dname ") && !$0.contains("TYPE39 ")
                }
                .joined(separator: "\n") + "\n"
            ])
        var asked = Set<RecordType>()
        for record in try Self.read(text) where record.type != .DNAME && asked.insert(record.type).inserted {
            let owner = String("\(record.owner)".dropLast())
            let answer = try server.ask(Request(owner, "\(record.type)"))
            let isReferral = record.type == .NS && owner != "example.com"
            #expect((answer.answer.count == 1) != isReferral, "\(record.type) of \(owner): \(answer)")
        }
        #expect(asked.count > 60, "\(asked.count)")
    }
}
