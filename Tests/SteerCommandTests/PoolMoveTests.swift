import Foundation
import KernelTestSupport
import Testing

/// `pool move`: who has an answer is served, at each moment and wherever the command is killed.
@Suite(.kernel)
struct PoolMoveTests {
    private static let stations = ["192.0.2.0/24", "192.0.2.16/28", "192.0.2.77/32", "192.0.2.16/28", "192.0.2.0/24"]

    private func withPool(ttl: Int = 1, _ body: @escaping @Sendable (PoolBed) throws -> Void) async throws {
        try await withBed { bed in try body(try PoolBed(bed, ttl: ttl)) }
    }

    @Test("From a /24 to a /28 to one address and back, clients that keep answers for their TTL never fail")
    func thereAndBack() async throws {
        try await withPool { pool in
            let clients = try pool.clients()
            for (from, to) in zip(Self.stations, Self.stations.dropFirst()) {
                let text = try pool.pool("move --from \(from) --to \(to) --for 1")
                try verify(text.hasSuffix("the pool web has moved: it is answered from \(to)\n"), text)
                try verify(pool.prefixes(), is: [to])
                try verify(pool.file("web-drained.txt"), is: "")
            }
            let result = try pool.end(clients)
            try verify(result["failures"], is: .list([]))
            try verify(result["addresses"].int! > 20, "\(result)")
            try verify(pool.file("web.txt").hasPrefix("# The pool web\n"), "the comment")
            // Once more changes nothing.
            let again = try pool.pool("move --from 192.0.2.16/28 --to 192.0.2.0/24")
            try verify(again.contains("192.0.2.0/24"), again)
            let other = try pool.pool("move --from 203.0.113.0/24 --to 192.0.2.0/24")
            try verify(
                other.hasSuffix(
                    "nothing to move: the pool web has nothing of 203.0.113.0/24; it is answered from 192.0.2.0/24\n"),
                other)
            try verify(pool.prefixes(), is: ["192.0.2.0/24"])
        }
    }

    @Test("Step by step, as hosts do that serve the same names: bound before any answers, unbound when none does")
    func untilStep() async throws {
        try await withPool { pool in
            try pool.pool("move --from 192.0.2.0/24 --to 192.0.2.16/28 --for 1")
            let clients = try pool.clients()
            let wider = "move --from 192.0.2.16/28 --to 192.0.2.128/25 --for 1"
            for _ in 0..<2 {
                try verify(pool.pool("\(wider) --until bound"), is: "bound: 192.0.2.16/28, 192.0.2.128/25\n")
                try verify(pool.prefixes(), is: ["192.0.2.16/28", "192.0.2.128/25"])
                try verify(pool.file("web-drained.txt").hasPrefix("192.0.2.128/25"), "the new one is answered")
            }
            for _ in 0..<2 {
                let text = try pool.pool("\(wider) --until quiet")
                try verify(text.hasSuffix("expired: the last answer with 192.0.2.16/28\nquiet: 192.0.2.16/28\n"), text)
                try verify(pool.prefixes(), is: ["192.0.2.16/28", "192.0.2.128/25"])
                try verify(pool.file("web-drained.txt").hasPrefix("192.0.2.16/28"), "the old one is answered")
            }
            try pool.pool(wider)
            try verify(pool.prefixes(), is: ["192.0.2.128/25"])
            try verify(pool.end(clients)["failures"], is: .list([]))
        }
    }

    @Test("Clients of prefixes that are unbound at once do fail")
    func atOnce() async throws {
        try await withPool(ttl: 30) { pool in
            let clients = try pool.clients()
            _ = try pool.bed.write("192.0.2.16/28\n", to: "web.txt")
            try pool.bed.steer("apply \(pool.policy)")
            try eventually("the server answers by the file") {
                try shell("dig +short @127.0.0.1 -p 5353 www.example.com").hasPrefix("192.0.2.")
                    && shell("curl -s \(PoolBed.metrics)/metrics").contains("steer_dns_reloads_total 1\n")
            }
            try verify(try pool.end(clients)["failures"].array.count > 0, "no client failed")
        }
    }

    @Test("Killed at random and begun anew, it gets there, and no client fails")
    func killed() async throws {
        try await withPool { pool in
            let clients = try pool.clients()
            var kills = 0
            for (from, to) in zip(Self.stations, Self.stations.dropFirst()) {
                while true {
                    // The whole takes about three seconds; its beginning is where most of the writes are.
                    let seconds = Double.random(in: 0...1) * (Bool.random() ? 0.2 : 4)
                    let run = try pool.bed.sh(
                        "timeout -s KILL \(seconds) \(pool.command("move --from \(from) --to \(to) --for 0.5"))")
                    if run.exitCode == 0 { break }
                    try verify(run.exitCode == 137, "\(run)")
                    kills += 1
                }
                try verify(pool.prefixes(), is: [to])
                try verify(pool.file("web-drained.txt"), is: "")
            }
            let result = try pool.end(clients)
            try verify(result["failures"], is: .list([]))
            try verify(kills > 0, "it was never killed")
        }
    }

    @Test("What cannot be moved is refused before anything changes")
    func refused() async throws {
        try await withPool { pool in
            let files = { [try pool.file("web.txt"), try pool.file("web-drained.txt")] + (try pool.prefixes()) }
            let before = try files()
            for (arguments, hint) in [
                ("--from 192.0.2.0/24 --to 203.0.113.0/28", "ip route add local 203.0.113.0/28 dev lo"),
                ("--from 203.0.113.0/24 --to 127.0.0.0/28", "has nothing of 203.0.113.0/24"),
                ("--from 192.0.2.0/24 --to ::1/128", "would have no IPv4 address"),
                ("--from 192.0.2.1/24 --to ::1/128", "192.0.2.0/24"),
            ] {
                let run = try pool.bed.sh(pool.command("move \(arguments)"))
                try verify([1, 64].contains(run.exitCode) && run.error.contains(hint), "\(arguments): \(run)")
                try verify(files(), is: before)
            }
            // A binding that the file does not have would go.
            try pool.bed.steer("bind other tcp 198.51.100.0/24 81")
            let foreign = try pool.bed.sh(pool.command("move --from 192.0.2.0/24 --to 192.0.2.0/28"))
            try verify(foreign.exitCode == 1 && foreign.error.contains("steer apply"), "\(foreign)")
            try pool.bed.steer("unbind other tcp 198.51.100.0/24 81")
            let unknown = try pool.bed.sh(
                "\(pool.bed.steer) pool move wbe --from 192.0.2.0/24 --to 192.0.2.0/28 --policy \(pool.policy) --bpffs \(pool.bed.bpffs.path)"
            )
            try verify(unknown.exitCode == 1 && unknown.error.contains("there is no pool wbe"), "\(unknown)")
        }
    }
}
