import KernelTestSupport
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
            let holder = try Background("flock \(lock) sleep 600", in: bed)
            try eventually("the lock") { try bed.sh("flock -n \(lock) true").exitCode != 0 }
            let writer = try Background(bed.line("bind api tcp 192.0.2.0/24 81"), in: bed)
            try eventually("it is at the lock") { try shell("ls -l /proc/\(writer.pid)/fd").contains("/lock-") }
            // Reading goes on, and shows that nothing has changed.
            try verify(bed.inForce(), is: ["web 80"])
            try shell("pkill -KILL -P \(holder.pid); kill -9 \(holder.pid) || true")
            try verify(writer.exitCode(), is: 0)
            try verify(Set(bed.inForce()), is: ["web 80", "api 81"])
        }
    }
}
