import KernelTestSupport
import Testing

/// A BPF file system that is missing, read-only or full: one sentence, and everything as it was.
@Suite(.kernel)
struct StorageTests {
    @Test("Missing, of another kind, read-only")
    func unavailable() async throws {
        try await withBed { bed in
            try bed.refused("load --bpffs /nowhere", "mount -t bpf -o mode=0700 bpf /nowhere")
            try bed.refused("bindings --bpffs /run", "give the path of one with --bpffs")
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            try shell("mount -o remount,ro \(bed.bpffs.path)")
            try bed.refused("bind api tcp 192.0.2.0/24 81", "remount")
            try bed.refused("upgrade", "remount")
            try bed.refused("unload", "remount")
            try verify(bed.inForce(), is: ["web 80"])
            try shell("mount -o remount,rw \(bed.bpffs.path)")
            try bed.steer("bind api tcp 192.0.2.0/24 81")
        }
    }

    @Test("Full, at any step", arguments: ["ENOSPC", "EMFILE", "ENOMEM"])
    func full(error: String) async throws {
        try await withBed { bed in
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            var failures = 0
            for (verb, steps) in [("bind api tcp 192.0.2.0/24 81", 1...16), ("upgrade", 1...40)] {
                for step in steps {
                    let before = try bed.state()
                    let run = try bed.run(
                        verb,
                        under: "strace -f -qqq -o /dev/null -e trace=bpf -e inject=bpf:error=\(error):when=\(step)")
                    if run.exitCode == 0 {
                        // A question that may go without an answer, or no such step any more.
                        if verb != "upgrade" { try bed.steer("unbind api tcp 192.0.2.0/24 81") }
                        continue
                    }
                    failures += 1
                    try verify(run.exitCode == 1 && run.output.isEmpty, "step \(step) of \(verb): \(run)")
                    try verify(
                        run.error.hasPrefix("steer: ") && run.error.split(separator: "\n").count == 1,
                        "step \(step) of \(verb): \(run)")
                    try verify(bed.inForce(), is: ["web 80"], "step \(step) of \(verb): \(run)")
                    // Whatever is left over goes with the next change.
                    try bed.steer("bind web tcp 192.0.2.0/24 80")
                    try verify(bed.state(), is: before, "step \(step) of \(verb): \(run)")
                }
            }
            try verify(failures > 10, "\(failures) failures")
        }
    }

    /// What follows the one step of a change must not take a question without an answer for an answer.
    @Test("A call that fails after the program was replaced changes nothing any more", arguments: ["upgrade", "apply"])
    func afterTheStep(verb: String) async throws {
        try await withBed { bed in
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            let small = try bed.write(bed.policy("web"), to: "small.yaml")
            let hosts = (0..<600).map {
                "  - { label: web, protocols: tcp, prefixes: 10.1.\($0 / 256).\($0 % 256)/32, ports: \(2000 + 2 * $0) }\n"
            }
            let large = try bed.write("bindings:\n" + hosts.joined(), to: "large.yaml")
            let command = verb == "upgrade" ? verb : "apply \(large)"
            func calls(_ inject: String) -> String {
                "strace -f -qqq -o \(bed.folder)/calls -e trace=bpf,openat,renameat2,unlinkat \(inject)"
            }
            try verify(bed.run(command, under: calls("")).exitCode, is: 0)
            let log = try shell("sed 's/^[0-9]* *//; s/(.*//' \(bed.folder)/calls").split(separator: "\n")
            let lines = try shell("cat \(bed.folder)/calls").split(separator: "\n")
            let step = lines.firstIndex { $0.contains("BPF_LINK_UPDATE") }!
            let expected = try bed.inForce().count
            for index in (step + 1)..<log.count {
                let number = log[...index].count { $0 == log[index] }
                try bed.steer("apply \(small)")
                try bed.steer("upgrade")
                let run = try bed.run(
                    command, under: calls("-e inject=\(log[index]):error=ENOMEM:when=\(number)"))
                try verify(run.exitCode == 0, "\(log[index]) \(number): \(run)")
                try verify(bed.inForce().count, is: verb == "upgrade" ? 1 : expected, "\(log[index]) \(number)")
                try bed.steer("upgrade")
                try verify(bed.inForce().count, is: verb == "upgrade" ? 1 : expected, "after \(log[index]) \(number)")
            }
        }
    }

    /// What is computed for remarks must not turn a change that is in force into a failure.
    @Test("A call that fails after a binding is in force does not fail the command")
    func afterTheBinding() async throws {
        try await withBed { bed in
            let words = "late udp 192.0.2.0/24 53 --on nosuch0"
            func calls(_ inject: String) -> String {
                "strace -f -qqq -o \(bed.folder)/calls -e trace=bpf,openat \(inject)"
            }
            try verify(bed.run("bind \(words)", under: calls("")).exitCode, is: 0)
            let lines = try shell("sed 's/^[0-9]* *//' \(bed.folder)/calls").split(separator: "\n")
            let step = lines.lastIndex { $0.contains("BPF_MAP_UPDATE_ELEM") }!
            try verify(step + 1 < lines.count, "calls after the change")
            for index in (step + 1)..<lines.count {
                let name = lines[index].prefix { $0 != "(" }
                let number = lines[...index].count { $0.hasPrefix("\(name)(") }
                try bed.steer("unbind \(words)")
                let run = try bed.run(
                    "bind \(words)", under: calls("-e inject=\(name):error=ENOMEM:when=\(number)"))
                try verify(run.exitCode == 0, "\(name) \(number): \(run)")
                try verify(bed.steer("bindings").contains("late"), "\(name) \(number): \(run)")
            }
        }
    }

    @Test("What could not be loaded leaves nothing")
    func load() async throws {
        try await withBed(loaded: false) { bed in
            var failures = 0
            for step in stride(from: 1, through: 60, by: 3) {
                let run = try bed.run(
                    "load", under: "strace -f -qqq -o /dev/null -e trace=bpf -e inject=bpf:error=ENOSPC:when=\(step)")
                if run.exitCode == 0 {
                    try bed.steer("unload")
                    continue
                }
                failures += 1
                // A probe of libbpf that fails can make it load what the verifier then refuses.
                let sentences = run.error.split(separator: "\n").filter { !$0.hasPrefix("  verifier: ") }
                try verify(run.error.hasPrefix("steer: ") && sentences.count == 1, "\(step): \(run)")
                try verify(bed.bpffs.listing().allSatisfy { !$0.contains("program") }, "step \(step)")
                try bed.refused("bindings", "load it first")
            }
            try verify(failures > 5, "\(failures) failures")
        }
    }
}
