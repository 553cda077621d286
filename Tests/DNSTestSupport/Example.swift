/// The zone and the policies of most tests of answers.
package enum Example {
    /// example.com: each kind of record, wildcards, aliases, delegations and answers that are too long for a datagram.
    package static let zone = """
        $ORIGIN example.com.
        $TTL 3600
        @ 7200 SOA ns1 host 1 2h 1h 2w 300
        @ NS ns1
        @ NS ns2
        @ MX 10 mail
        @ TXT "top"
        ns1 A 192.0.2.53
        ns1 AAAA 2001:db8::53
        ns2 A 192.0.2.54
        mail A 192.0.2.25
        txt TXT "said by the zone"
        below.ent TXT "deep"
        alias CNAME www
        Second CNAME alias
        away CNAME www.example.org.
        nowhere CNAME x.ns1
        circle CNAME round
        round CNAME circle
        into CNAME host.sub
        *.wild 600 A 192.0.2.99
        *.wild 600 TXT "wild"
        there.wild A 192.0.2.98
        *.aliases CNAME www
        sub NS ns.sub
        sub NS ns.elsewhere.net.
        ns.sub A 198.51.100.53
        ns.sub AAAA 2001:db8:99::53
        big TXT "\(String(repeating: "b", count: 200))" "\(String(repeating: "i", count: 200))" "\(String(repeating: "g", count: 200))"
        huge TXT "\(String(repeating: "h", count: 250))" "\(String(repeating: "u", count: 250))" "\(String(repeating: "g", count: 250))" "\(String(repeating: "e", count: 250))" "\(String(repeating: "!", count: 250))"

        """

    /// One address for each family: every answer is known.
    package static let policy = """
        pools:
          web: [203.0.113.7/32, "2001:db8:1::7/128"]
          four: 203.0.113.4/32
        names:
          zones: [zone]
          policies:
            - { name: four, exact: four.example.com, pool: four, ttl: 30 }
            - { name: wild, suffix: [wild.example.com, aliases.example.com], outcome: pass }
            - { name: said, exact: txt.example.com, pool: web, ttl: 10 }
            - { name: default, pool: web, ttl: 60 }

        """
    package static let soa = "example.com. 300 IN SOA ns1.example.com. host.example.com. 1 7200 3600 1209600 300"
    package static let web = "203.0.113.7", web6 = "2001:db8:1::7"

    /// Policies in one line each, for lists that are called as their files. A pool for each number has the addresses
    /// 192.0.2.NUMBER and 2001:db8::NUMBER.
    package static func policy(of policies: [String], lists: [String] = [], more: String = "") -> String {
        let pools = (1...9).map { "  p\($0): [192.0.2.\($0)/32, \"2001:db8::\($0)/128\"]\n" }.joined()
        return """
            pools:
            \(pools)  net: [198.51.100.0/24, "2001:db8:10::/44"]
            names:
              zones: [zone]
              lists: { \(lists.map { "\($0): \($0)" }.joined(separator: ", ")) }
            \(more)  policies:
            \(policies.map { "    - { \($0) }\n" }.joined())
            """
    }
}
