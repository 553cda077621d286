import Foundation
import SteeringDNS

/// The counters in the Prometheus text format.
struct MetricsText {
    private(set) var text = ""

    init(_ server: NameServer, _ times: PolicyTimes.Times) {
        let counts = server.counts()
        add(
            "steer_dns_queries_total", "Messages received, by transport.",
            [
                ("transport=\"udp\"", counts.totals.datagrams), ("transport=\"tcp\"", counts.totals.streamed),
            ])
        add(
            "steer_dns_answers_total", "Answers by kind.",
            AnswerCounts.Kind.allCases.map { ("kind=\"\($0.label)\"", counts.totals.byKind[$0.rawValue]) })
        add(
            "steer_dns_policy_answers_total", "Answers with an address, by the policy that gave it.",
            counts.byPolicy.sorted { $0.key < $1.key }.map { ("policy=\"\($0.key)\"", $0.value) })
        add(
            "steer_dns_pool_answers_total", "Answers with an address, by the pool of the address.",
            counts.byPool.sorted { $0.key < $1.key }.map { ("pool=\"\($0.key)\"", $0.value) })
        add(
            "steer_dns_truncated_total", "Truncated answers (TC), which clients retry over TCP.",
            [("", counts.totals.truncated)])
        add(
            "steer_dns_limited_total", "Answers that the response limit truncated (cut) or dropped (drop).",
            [
                ("action=\"cut\"", counts.totals.limited), ("action=\"drop\"", counts.totals.dropped),
            ])
        add(
            "steer_dns_ignored_total",
            "Messages left unanswered: responses, and messages that are too short or too long.",
            [("", counts.totals.ignored)])
        add(
            "steer_dns_unsent_total",
            "UDP answers that the system did not send: no route to the client, or a source address not allowed.",
            [("", counts.totals.unsent)])
        add(
            "steer_dns_reloads_total", "Policies put in force after the first.",
            [("", UInt64(server.generation))])
        let policies = server.served.policies
        addTimes(times)
        add("steer_dns_names", "Names in lists.", [("", UInt64(policies.nameCount))], "gauge")
        addAddresses(counts, policies)
    }

    private mutating func addTimes(_ times: PolicyTimes.Times) {
        add(
            "steer_dns_policy_read_seconds", "When reading of the policy in force began, in seconds since 1970.",
            [("", seconds(times.read))], "gauge")
        add(
            "steer_dns_pool_since_seconds",
            "When the server began to answer with the pool's present addresses, in seconds since 1970.",
            times.pools.sorted { $0.key < $1.key }.map { ("pool=\"\($0.key)\"", seconds($0.value.since)) }, "gauge")
    }

    private func seconds(_ date: Date) -> String { String(format: "%.3f", date.timeIntervalSince1970) }

    private mutating func addAddresses(_ counts: ServerCounts, _ policies: AddressPolicies) {
        guard !counts.byAddress.isEmpty else { return }
        var rows: [(String, UInt64)] = []
        for pool in policies.pools {
            guard let addresses = counts.byAddress[pool.name], addresses.count == pool.addresses.count else { continue }
            for (address, count) in zip(pool.addresses.addresses, addresses) where count > 0 {
                rows.append(("pool=\"\(pool.name)\",address=\"\(address)\"", count))
            }
        }
        add("steer_dns_address_answers_total", "Answers by address.", rows)
    }

    private mutating func add(
        _ name: String, _ help: String, _ rows: [(labels: String, value: some CustomStringConvertible)],
        _ kind: String = "counter"
    ) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n"
        for row in rows {
            text += row.labels.isEmpty ? "\(name) \(row.value)\n" : "\(name){\(row.labels)} \(row.value)\n"
        }
    }
}
