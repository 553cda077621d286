import DNSTestSupport

/// A suite that asks servers with policies of the example.
protocol PolicySuite {}

extension PolicySuite {
    func server(
        _ policies: [String], lists: [String: String] = [:], site: String? = nil
    ) throws -> InProcessServer {
        try InProcessServer(
            Example.policy(of: policies, lists: lists.keys.sorted()), lists.merging(["zone": Example.zone]) { $1 },
            site: site)
    }

    /// The last numbers of the addresses that names have; "NXDOMAIN" and "NODATA" for those without.
    func numbers(
        _ server: InProcessServer, _ names: [String], _ type: String = "A", from: String? = nil
    ) throws -> [String] {
        try server.ask(names.map { Request("\($0).example.com", type).with { $0.from = from } }).map(\.outcome)
    }
}
