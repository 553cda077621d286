import CommandSupport
import Foundation
import PoolMoves
import SteeringDNS

/// Exports the metrics of the server to Prometheus.
struct Exporter {
    private(set) var metrics = PrometheusText()

    init(_ server: NameServer, _ times: PolicyTimes.Times) {
        let counts = server.counts(), policies = server.served.policies
        addAnswers(counts)
        addFailures(counts.totals)
        metrics.add("steer_dns_reloads_total", "Policies put in force after the first.", value: server.generation)
        addTimes(times)
        metrics.add("steer_dns_names", "Names in lists.", value: policies.nameCount)
        addAddresses(counts, policies)
    }

    private mutating func addAnswers(_ counts: ServerCounts) {
        metrics.add(
            "steer_dns_queries_total", "Messages received, by transport.", by: "transport",
            [("udp", counts.totals.datagrams), ("tcp", counts.totals.streamed)])
        metrics.add(
            "steer_dns_answers_total", "Answers by kind.", by: "kind",
            AnswerCounts.Kind.allCases.map { ("\($0.label)", counts.totals.byKind[$0.rawValue]) })
        metrics.add(
            "steer_dns_policy_answers_total", "Answers with an address, by the policy that gave it.", by: "policy",
            counts.byPolicy.sorted { $0.key < $1.key })
        metrics.add(
            "steer_dns_pool_answers_total", "Answers with an address, by the pool of the address.", by: "pool",
            counts.byPool.sorted { $0.key < $1.key })
    }

    private mutating func addFailures(_ totals: AnswerCounts) {
        metrics.add(
            "steer_dns_truncated_total", "Truncated answers (TC), which clients retry over TCP.",
            value: totals.truncated)
        metrics.add(
            "steer_dns_limited_total", "Answers that the response limit truncated (cut) or dropped (drop).",
            by: "action", [("cut", totals.limited), ("drop", totals.dropped)])
        metrics.add(
            "steer_dns_ignored_total",
            "Messages left unanswered: responses, and messages that are too short or too long.", value: totals.ignored)
        metrics.add(
            "steer_dns_unsent_total",
            "UDP answers that the system did not send: no route to the client, or a source address not allowed.",
            value: totals.unsent)
    }

    private mutating func addTimes(_ times: PolicyTimes.Times) {
        metrics.add(
            ServerTimes.MetricName.read, "When reading of the policy in force began, in seconds since 1970.",
            value: seconds(times.read))
        metrics.add(
            ServerTimes.MetricName.pool,
            "When the server began to answer with the pool's present addresses, in seconds since 1970.", by: "pool",
            times.pools.sorted { $0.key < $1.key }.map { ($0.key, seconds($0.value.since)) })
    }

    private func seconds(_ date: Date) -> String { String(format: "%.3f", date.timeIntervalSince1970) }

    private mutating func addAddresses(_ counts: ServerCounts, _ policies: AddressPolicies) {
        guard !counts.byAddress.isEmpty else { return }
        var samples: [(labels: [(name: String, value: String)], value: UInt64)] = []
        for pool in policies.pools {
            guard let addresses = counts.byAddress[pool.name], addresses.count == pool.addresses.count else { continue }
            for (address, count) in zip(pool.addresses.addresses, addresses) where count > 0 {
                samples.append(([("pool", pool.name), ("address", "\(address)")], count))
            }
        }
        metrics.add("steer_dns_address_answers_total", "Answers by address.", samples: samples)
    }
}
