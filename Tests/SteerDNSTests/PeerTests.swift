import DNSTestSupport
import Foundation
import KernelTestSupport
import Testing

/// NSD and Knot serve the same zone files: what the zones say must be the same.
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
        let nsd = try Peer.nsd(serving: ["example.com": "zone"], of: bed)
        let types = ["A", "AAAA", "NS", "SOA", "MX", "TXT", "CNAME", "DS", "SRV", "HTTPS", "TYPE666"]
        let requests = Self.names.flatMap { name in
            types.map { Request(name, $0).edns(payload: $0 == "TXT" ? 600 : 1_232) }
        }
        #expect(requests.count > 800)
        compare(requests, try bed.askBoth(requests), with: try nsd.ask(requests))
    }

    private static let redirecting = """
        $ORIGIN example.com.
        $TTL 3600
        @ 7200 SOA ns1 host 1 2h 1h 2w 300
        @ NS ns1
        @ MX 10 mail
        @ MX 20 mail2
        @ MX 30 mail.example.net.
        ns1 A 192.0.2.53
        mail A 192.0.2.25
        mail AAAA 2001:db8::25
        mail2 A 192.0.2.26
        _sip._tcp SRV 1 2 5060 mail
        _sip._tcp SRV 2 2 5060 mail2
        null MX 0 .
        d 600 DNAME new
        d TXT "beside"
        new A 192.0.2.1
        www.new A 192.0.2.1
        alias.new CNAME www.new
        deep.a.new TXT "deep"
        away DNAME example.net.
        chain DNAME d
        into CNAME www.d
        *.wild DNAME new
        hidden DNAME host.cut
        cut NS ns.elsewhere.net.
        long DNAME \(String(repeating: "\(String(repeating: "l", count: 50)).", count: 4))example.com.
        sub NS ns.sub
        sub DS 60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118
        ns.sub A 198.51.100.53
        un NS ns1

        """

    private static func child(_ name: String) -> String {
        "$TTL 3600\n\(name). SOA ns1.example.com. host.example.com. 1 2h 1h 2w 300\n\(name). NS ns1.example.com.\n"
            + "www.\(name). A 192.0.2.2\n"
    }

    @Test("DNAME, DS at the name of a served zone, and additional addresses are as NSD and Knot have them")
    func redirections() throws {
        let files = [
            "zone": Self.redirecting, "sub": Self.child("sub.example.com"), "un": Self.child("un.example.com"),
        ]
        let bed = try DNSBed("names: { zones: [zone, sub, un], policies: [{ name: default, outcome: pass }] }", files)
        let zones: KeyValuePairs = ["example.com": "zone", "sub.example.com": "sub", "un.example.com": "un"]
        let long = String(repeating: "a", count: 37)
        // Left out, since they differ on it: names below an asterisk with DNAME, for which Knot tells another owner of that
        // record; capitals, which we keep in the CNAME record; and targets that are too long, which are NXDOMAIN for Knot.
        let names = [
            "", "d", "x.d", "www.d", "alias.d", "deep.a.d", "a.d", "away", "www.away", "chain", "www.chain", "into",
            "wild", "x.wild", "*.wild", "\(long).long", "sub", "un", "www.sub", "x.hidden",
            "null", "_sip._tcp",
        ]
        let requests = names.flatMap { name in
            ["A", "AAAA", "TXT", "MX", "SRV", "DS", "CNAME", "DNAME"].map {
                Request(name.isEmpty ? "example.com" : "\(name).example.com", $0).edns()
            }
        }
        let ours = try bed.askBoth(requests)
        compare(requests, ours, with: try Peer.nsd(serving: zones, of: bed).ask(requests))
        compare(requests, ours, with: try Peer.knot(serving: zones, of: bed).ask(requests), isComplete: true)
    }

    private func compare(
        _ requests: [Request], _ ours: [Responses], with theirs: [Responses], isComplete: Bool = false
    ) {
        #expect(requests.count == ours.count && ours.count == theirs.count)
        for (request, (one, other)) in zip(requests, zip(ours, theirs)) {
            for (ours, theirs, way) in [(one.udp, other.udp, "UDP"), (one.tcp, other.tcp, "TCP")] {
                #expect(
                    Self.text(ours, isComplete) == Self.text(theirs, isComplete),
                    "\(request.name!) \(request.type!) by \(way)")
            }
        }
    }

    /// Returns the parts of an answer that are compared. NSD gives minimal answers, in which only referrals have addresses.
    private static func text(_ reply: Response, _ isComplete: Bool) -> String {
        let isReferral = reply.authority.contains { $0.contains(" NS ") }
        let extra = isComplete || isReferral ? reply.additional : []
        return ([reply.head] + reply.answer + reply.authority + extra).joined(separator: "\n")
    }
}
