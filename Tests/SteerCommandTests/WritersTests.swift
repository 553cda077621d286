import KernelTestSupport
import Steering
import Testing

/// Several commands that change one steering.
@Suite(.kernel)
struct WritersTests {
    @Test("Of twenty at once none is lost")
    func concurrent() async throws {
        try await withBed { bed in
            let lines = (1...20).map { "{ \(bed.line("bind l\($0) tcp 192.0.2.0/24 \($0)")) || echo failed $?; } &" }
            let run = try bed.sh((lines + ["wait"]).joined(separator: "\n"))
            try verify(run.output.isEmpty && run.error.isEmpty && run.exitCode == 0, "\(run)")
            try verify(Set(bed.inForce()), is: Set((1...20).map { "l\($0) \($0)" }))
            try verify(bed.json("status")["changes"].int, is: 20)
        }
    }

    @Test("The second waits for the first")
    func waiting() async throws {
        try await withBed { bed in
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            let lock = try shell("echo \(bed.bpffs.path)/steering/lock-*").dropLast()
            while true {
                let holder = try Background("flock \(lock) sleep 600", in: bed)
                try eventually("the lock") { try bed.sh("flock -n \(lock) true").exitCode != 0 }
                let begin = ContinuousClock.now
                let writer = try Background(bed.line("bind api tcp 192.0.2.0/24 81"), in: bed)
                try eventually("it is at the lock, or has given up") {
                    let files = try shell("ls -l /proc/\(writer.pid)/fd 2>&1 || true")
                    return files.contains("/lock-") || files.contains("No such file")
                }
                // Reading goes on, and shows that nothing has changed.
                try verify(bed.inForce(), is: ["web 80"])
                try shell("pkill -KILL -P \(holder.pid); kill -9 \(holder.pid) || true")
                // A writer gives up after 10 seconds: start over if the machine was too busy for all this.
                if try writer.exitCode() != 0, ContinuousClock.now - begin > .seconds(9) { continue }
                try verify(writer.exitCode(), is: 0)
                break
            }
            try verify(Set(bed.inForce()), is: ["web 80", "api 81"])
        }
    }

    @Test("steerd does not wait for a writer that does not finish: it answers, and registers later")
    func steerd() async throws {
        try await withSteerdBed { steerd in
            let process = try steerd.start()
            let inside = try SocketAddress("192.0.2.9:80")
            _ = try steerd.ask([("steering/1 register web", "tcp()")], as: SteerdBed.webUser)
            // It finds another steering that a writer is changing.
            try process.signal("STOP")
            try steerd.bed.steer("unload")
            try steerd.bed.steer("load")
            try steerd.bed.steer("apply \(steerd.policy)")
            let lock = try shell("echo \(steerd.bed.bpffs.path)/steering/lock-*").dropLast()
            let holder = try Background("flock \(lock) sleep 600", in: steerd.bed)
            try eventually("the lock") { try steerd.bed.sh("flock -n \(lock) true").exitCode != 0 }
            try process.signal("CONT")
            try eventually("it finds that") { try process.error.contains("trying again until it succeeds") }
            let refused = try steerd.ask([("steering/1 register web replacing", "tcp()")], as: SteerdBed.webUser)
            try verify(
                refused[0].hasPrefix("error busy ") && refused[0].contains("is changing the steering"), refused[0])
            let list = try steerd.ask([("steering/1 list web", "")], as: SteerdBed.webUser)
            try verify(list[0].hasPrefix("ok\ntcp ") && !list[0].hasSuffix(" registered"), list[0])
            try process.signal("HUP")
            try shell("pkill -KILL -P \(holder.pid); kill -9 \(holder.pid) || true")
            try eventually("it is registered") { try Traffic.connect(.tcp, to: inside) != nil }
            try eventually("the file is reread") { try process.error.contains("policy reloaded") }
        }
    }
}
