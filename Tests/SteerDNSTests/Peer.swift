import DNSTestSupport
import KernelTestSupport

/// Another name server, from Debian, with zone files of a bed; it ends with this value.
struct Peer {
    private let folder: String
    private let port: Int
    private let process: Background

    /// - Parameters:
    ///   - configure: Returns the configuration for a port.
    ///   - serves: Whether the server has begun to serve, by its log.
    private init(
        _ command: String, _ bed: DNSBed, configure: (Int) -> String, serves: (String) -> Bool
    ) throws {
        folder = bed.folder
        // Below what the kernel chooses for clients.
        port = Int.random(in: 10_001...30_000)
        try bed.replace("peer.conf", with: configure(port))
        let process = try Background("\(command) -c \(folder)/peer.conf", folder: folder)
        try eventually("\(command) serves") {
            let log = try process.error
            if log.contains("error:") || log.contains("critical:") { throw Unmet(description: log) }
            return serves(log)
        }
        self.process = process
    }

    /// What it answers, by UDP and by TCP.
    func ask(_ requests: [Request]) throws -> [Responses] {
        defer { withExtendedLifetime(process) {} }
        return try DNSBed.client(requests, address: "127.0.0.1", port: port, folder: folder)
    }
}

extension Peer {
    /// Starts NSD.
    ///
    /// - Parameter zones: The origin of each zone, and its file in the bed.
    static func nsd(serving zones: KeyValuePairs<String, String>, of bed: DNSBed) throws -> Peer {
        try Peer("/usr/sbin/nsd -d", bed) { port in
            """
            server:
                ip-address: 127.0.0.1@\(port)
                username: ""
                zonesdir: \(bed.folder)
                database: ""
                pidfile: ""
                zonelistfile: \(bed.folder)/nsd.list
                xfrdfile: \(bed.folder)/nsd.xfrd
                xfrdir: \(bed.folder)
                cookie-secret-file: ""
                server-count: 1
                rrl-ratelimit: 0
                minimal-responses: yes
                refuse-any: yes
            remote-control:
                control-enable: no
            \(zones.map { "zone:\n    name: \($0.key)\n    zonefile: \($0.value)\n" }.joined())
            """
        } serves: { log in
            log.contains("nsd started")
        }
    }

    /// Starts Knot.
    ///
    /// - Parameter zones: The origin of each zone, and its file in the bed.
    static func knot(serving zones: KeyValuePairs<String, String>, of bed: DNSBed) throws -> Peer {
        try Peer("/usr/sbin/knotd", bed) { port in
            """
            server:
              listen: 127.0.0.1@\(port)
              rundir: \(bed.folder)
              udp-workers: 1
              tcp-workers: 1
            log:
              - target: stderr
                any: info
            database:
              storage: \(bed.folder)/knot
            template:
              - id: default
                storage: \(bed.folder)
                zonefile-sync: -1
                journal-content: none
            zone:
            \(zones.map { "  - domain: \($0.key)\n    file: \($0.value)\n" }.joined())
            """
        } serves: { log in
            zones.allSatisfy { log.contains("[\($0.key).] loaded") }
        }
    }
}
