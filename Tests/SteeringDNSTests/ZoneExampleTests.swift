import SteeringDNS
import Testing

/// The zones that RFCs have as examples load.
@Suite struct ZoneExampleTests {
    private func checked(_ text: String, _ origin: String) throws -> CheckedZone {
        let origin = try DNSName(origin)
        let file = try ZoneFile(Array(text.utf8), named: "zone", origin: origin)
        return try CheckedZone(file, origin: origin)
    }

    @Test("the zones of RFC 1034, section 6.1")
    func rfc1034() throws {
        let root = """
            .       IN      SOA     SRI-NIC.ARPA. HOSTMASTER.SRI-NIC.ARPA. (
                                    870611 1800 300 604800 86400 )
                            NS      A.ISI.EDU.
                            NS      C.ISI.EDU.
                            NS      SRI-NIC.ARPA.
            MIL.    86400   NS      SRI-NIC.ARPA.
                    86400   NS      A.ISI.EDU.
            EDU.    86400   NS      SRI-NIC.ARPA.
                    86400   NS      C.ISI.EDU.
            SRI-NIC.ARPA.   A       26.0.0.73
                            A       10.0.0.51
                            MX      0 SRI-NIC.ARPA.
                            HINFO   DEC-2060 TOPS20
            ACC.ARPA.       A       26.6.0.65
                            HINFO   PDP-11/70 UNIX
                            MX      10 ACC.ARPA.
            USC-ISIC.ARPA.  CNAME   C.ISI.EDU.
            73.0.0.26.IN-ADDR.ARPA.  PTR    SRI-NIC.ARPA.
            A.ISI.EDU. 86400 A      26.3.0.103
            C.ISI.EDU. 86400 A      10.0.0.52

            """
        #expect(try checked(root, ".").records.count == 19)
        let edu = """
            EDU.  IN SOA SRI-NIC.ARPA. HOSTMASTER.SRI-NIC.ARPA. ( 870729 1800 300 604800 86400 )
                         NS SRI-NIC.ARPA.
                         NS C.ISI.EDU.
            UCI 172800   NS ICS.UCI
                172800   NS ROME.UCI
            ICS.UCI 172800 A 192.5.19.1
            ROME.UCI 172800 A 192.5.19.31
            ISI 172800   NS VAXA.ISI
                172800   NS A.ISI
                172800   NS VENERA.ISI.EDU.
            VAXA.ISI 172800 A 10.2.0.27
                     172800 A 128.9.0.33
            VENERA.ISI.EDU. 172800 A 10.1.0.52
                            172800 A 128.9.0.32
            A.ISI 172800 A 26.3.0.103
            UDEL.EDU. 172800 NS LOUIE.UDEL.EDU.
                      172800 NS UMN-REI-UC.ARPA.
            LOUIE.UDEL.EDU. 172800 A 10.0.0.96
                            172800 A 192.5.39.3
            YALE.EDU. 172800 NS YALE.ARPA.
            YALE.EDU. 172800 NS YALE-BULLDOG.ARPA.
            MIT.EDU. 43200 NS XX.LCS.MIT.EDU.
                     43200 NS ACHILLES.MIT.EDU.
            XX.LCS.MIT.EDU. 43200 A 10.0.0.44
            ACHILLES.MIT.EDU. 43200 A 18.72.0.8

            """
        let zone = try checked(edu, "EDU")
        #expect(zone.records.count == 25)
        #expect(
            zone.warnings.map(\.description) == [
                "zone:1: no TTL is given for the SOA record, and its minimum, 86400, is used; write $TTL 86400 above",
                "zone:3: C.ISI.EDU., a name server of EDU., is in the delegated zone ISI.EDU. and has no address here; "
                    + "write an A or AAAA record for it",
            ])
    }

    @Test("the zone of RFC 4592, section 2.2.1")
    func rfc4592() throws {
        let zone = """
            $ORIGIN example.
            example.                 3600 IN  SOA   ns.example.com. h.example.com. 1 2 3 4 5
            example.                 3600     NS    ns.example.com.
            example.                 3600     NS    ns.example.net.
            *.example.               3600     TXT   "this is a wildcard"
            *.example.               3600     MX    10 host1.example.
            sub.*.example.           3600     TXT   "this is not a wildcard"
            host1.example.           3600     A     192.0.2.1
            _ssh._tcp.host1.example. 3600     SRV   0 0 22 host1.example.
            _ssh._tcp.host2.example. 3600     SRV   0 0 22 host2.example.
            subdel.example.          3600     NS    ns.example.com.
            subdel.example.          3600     NS    ns.example.net.

            """
        let checked = try checked(zone, "example")
        #expect(checked.records.count == 11)
        #expect(checked.warnings.map(\.line) == [10])
    }
}
