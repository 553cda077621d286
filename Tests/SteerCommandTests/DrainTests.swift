import Foundation
import KernelTestSupport
import Testing

/// `steer-dns drain`, and `pool status`, which says what still comes.
@Suite(.kernel)
struct DrainTests {
    @Test("Drained prefixes are answered no more, without a signal; they stay bound, and are quiet only when they are")
    func drain() async throws {
        try await withBed { bed in
            let pool = try PoolBed(bed, ttl: 1)
            try verify(
                pool.pool("status"), is: "the pool web has no drained prefixes; it is answered from 192.0.2.0/24\n")

            let drained = try pool.dns("drain 192.0.2.0/25 --server \(PoolBed.metrics) --wait --json")
            try verify(drained.exitCode == 0 && drained.error.isEmpty, "\(drained)")
            let report = try JSONValue(drained.output)
            try verify(report["drained"].array.map { $0["prefix"].string }, is: ["192.0.2.0/25"])
            try verify(report["drained"][0]["expired"], is: .flag(true))
            try verify(pool.file("web-drained.txt").hasPrefix("192.0.2.0/25  # drained 20"), "a line with its time")
            try verify(shell("stat -c %a \(bed.folder)/web-drained.txt"), is: "644\n")
            try verify(pool.prefixes(), is: ["192.0.2.0/24"])
            // Whoever does not keep to TTLs is served, and counted for the part that it comes to.
            let background = try Background(
                "bash -c 'while true; do nc -w 1 192.0.2.65 80 </dev/null >/dev/null; sleep 0.05; done'", in: bed)
            let busy = try JSONValue(pool.pool("status --for 2 --json"))
            try verify(busy["mayUnbind"], is: .flag(false))
            let parts = busy["drained"][0]["parts"].array.filter { $0["packets"].int! > 0 }
            try verify(parts.map { $0["prefix"].string }, is: ["192.0.2.64/29"])
            try background.signal("KILL")
            try eventually("quiet") { try pool.pool("status --for 1").contains("may be unbound") }
            let quiet = try pool.pool("status --for 1 --wait")
            try verify(
                quiet.contains("steer pool move web --from 192.0.2.0/25 --to 192.0.2.128/25 --policy \(pool.policy)"),
                quiet)

            // Answered anew, and drained in parts.
            try verify(
                pool.dns("undrain 192.0.2.64/26").output, is: "the pool web is answered from 192.0.2.64/26 again\n")
            let left = try pool.file("web-drained.txt")
            try verify(left.contains("192.0.2.0/26  # drained"), left)
            try eventually("the server answers from it") {
                try shell("dig +short @127.0.0.1 -p 5353 www.example.com").contains(
                    /192\.0\.2\.(6[4-9]|[7-9].|1[01].|12[0-7])\n/)
            }
        }
    }

    @Test("The last address of a pool is not drained, neither by two commands at once; comments stay")
    func refused() async throws {
        try await withBed { bed in
            let pool = try PoolBed(bed, ttl: 1)
            for (arguments, hint) in [
                ("drain 192.0.2.0/24", "would have no IPv4 address left"), ("drain 192.0.3.0/24", "no pool of"),
                ("drain 192.0.2.0/23 --pool web", "192.0.3.0/24 is not in the pool web"),
                ("undrain 192.0.2.0/25", "192.0.2.0/25 is not drained"), ("drain 192.0.2.0", "192.0.2.0/32"),
                ("drain 192.0.2.0/25 --pool wbe", "there is no pool wbe"),
            ] {
                let run = try pool.dns(arguments)
                try verify(run.exitCode != 0 && run.error.contains(hint), "\(arguments): \(run)")
            }
            try verify(pool.file("web-drained.txt"), is: "")
            _ = try bed.write("# By hand\n192.0.2.7/32 # broken\n", to: "web-drained.txt")
            let program = try Programs.path(of: "steer-dns")
            let both = try bed.sh(
                """
                for half in 192.0.2.0/25 192.0.2.128/25; do
                    { \(program) drain $half --policy \(pool.policy) >/dev/null 2>&1 && echo $half; } &
                done; wait
                """)
            try verify(both.output.split(separator: "\n").count, is: 1, "of two that together drain all, one does")
            try verify(pool.file("web-drained.txt").hasPrefix("# By hand\n192.0.2.7/32  # broken\n"), "comments")
            // Many at once lose nothing.
            try shell("rm \(bed.folder)/web-drained.txt")
            _ = try bed.sh(
                "for n in $(seq 1 20); do \(program) drain 192.0.2.$n/32 --policy \(pool.policy) >/dev/null & done; wait"
            )
            try verify(pool.file("web-drained.txt").split(separator: "\n").count, is: 20)

            let plain = try bed.write(
                try String(contentsOfFile: pool.policy, encoding: .utf8).replacing(
                    ", drained-from: web-drained.txt", with: ""),
                to: "plain.yaml")
            let run = try bed.sh("\(program) drain 192.0.2.0/25 --policy \(plain)")
            try verify(run.exitCode == 1 && run.error.contains("drained-from: web-drained.txt"), "\(run)")
        }
    }
}
