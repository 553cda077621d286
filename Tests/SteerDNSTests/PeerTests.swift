import DNSTestSupport
import Foundation
import KernelTestSupport
import Testing

/// NSD serves the same zone file: what the zone says must be the same.
@Suite struct PeerTests {
    private static let zone = """
        $ORIGIN example.com.
        $TTL 3600
        @ 7200 SOA ns1 host 1 2h 1h 2w 300
        @ NS ns1
        @ NS ns.sub
        @ NS ns.other.net.
        @ MX 10 mail
        @ TXT "top"
        @ CAA 0 issue "ca.example.net"
        ns1 A 192.0.2.53
        ns1 AAAA 2001:db8::53
        mail A 192.0.2.25
        www A 192.0.2.80
        www A 192.0.2.81
        www HTTPS 1 . alpn=h2 ipv4hint=192.0.2.80
        a.b.c TXT "deep"
        alias CNAME www
        second CNAME alias
        away CNAME www.example.org.
        nowhere CNAME nobody
        below CNAME x.ns1
        into CNAME host.sub
        wildly CNAME any.wild
        *.wild A 192.0.2.99
        *.wild MX 5 mail
        there.wild A 192.0.2.98
        x.y.wild TXT "two labels"
        *.names CNAME www
        *.more CNAME any.wild
        sub NS ns.sub
        sub NS ns.elsewhere.net.
        sub DS 60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118
        ns.sub A 198.51.100.53
        ns.sub AAAA 2001:db8:99::53
        plain NS ns1
        _sip._tcp SRV 1 2 5060 www
        big TXT "\(String(repeating: "b", count: 250))" "\(String(repeating: "i", count: 250))" "\(String(repeating: "g", count: 250))"
        huge TXT "\(String(repeating: "h", count: 250))" "\(String(repeating: "u", count: 250))" "\(String(repeating: "g", count: 250))" "\(String(repeating: "e", count: 250))" "\(String(repeating: "!", count: 250))"
        odd TYPE666 \\# 3 abcdef
        q\\.uoted TXT "a dot in a label"

        """

    /// Every name of the zone, those around it, and some elsewhere.
    private static let names: [String] = {
        let said = [
            "", "ns1", "mail", "www", "a.b.c", "b.c", "c", "alias", "second", "away", "nowhere", "below", "into",
            "wildly",
            "*.wild", "wild", "there.wild", "x.y.wild", "y.wild", "*.names", "names", "more", "sub", "ns.sub", "plain",
            "_sip._tcp", "_tcp", "big", "huge", "odd", "q\\.uoted", "nobody", "any.wild", "a.b.wild", "z.y.wild",
            "a.names",
            "a.b.names", "a.more",
        ]
        let all = said + said.map { $0.isEmpty ? "x" : "x.\($0)" }
        return all.map { $0.isEmpty ? "example.com" : "\($0).example.com" } + [
            "example.org", "com", ".", "xexample.com",
        ]
    }()

    @Test("a zone is served as NSD serves it: the code, AA, and all sections")
    func nsd() throws {
        let bed = try DNSBed(
            "names: { zones: [zone], policies: [{ name: default, outcome: pass }] }", ["zone": Self.zone])
        let nsd = try NSD(serving: "zone", of: bed)
        let types = ["A", "AAAA", "NS", "SOA", "MX", "TXT", "CNAME", "DS", "SRV", "HTTPS", "TYPE666"]
        let requests = Self.names.flatMap { name in
            types.map { Request(name, $0).edns(payload: $0 == "TXT" ? 600 : 1_232) }
        }
        let ours = try bed.askBoth(requests)
        let theirs = try nsd.ask(requests)
        #expect(ours.count == theirs.count && ours.count > 800)
        for (request, (one, other)) in zip(requests, zip(ours, theirs)) {
            #expect(
                Self.text(one.udp, request) == Self.text(other.udp, request), "\(request.name!) \(request.type!) by UDP"
            )
            #expect(
                Self.text(one.tcp, request) == Self.text(other.tcp, request), "\(request.name!) \(request.type!) by TCP"
            )
        }
    }

    /// All that must be alike. Addresses that go with records nobody refers to are a matter of taste.
    private static func text(_ reply: Response, _ request: Request) -> String {
        let extra = reply.authority.contains { $0.contains(" NS ") } ? reply.additional : []
        return ([reply.head] + reply.answer + reply.authority + extra).joined(separator: "\n")
    }
}
