import KernelTestSupport
import Testing

/// What is typed wrong: one sentence, exit code 64, nothing changed.
@Suite(.kernel)
struct UsageTests {
    private static let lines: [(String, String)] = [
        ("frobnicate", "is not a verb of steer: give one of load, unload, upgrade, apply"),
        ("bind", "LABEL PROTOCOL PREFIX PORTS"), ("bind web tcp 192.0.2.0/24", "4 words"),
        ("bind web icmp 192.0.2.0/24 80", "icmp"), ("bind web tcp 192.0.2.0/33 80", "192.0.2.0/33"),
        ("bind web tcp 192.0.2.1/24 80", "192.0.2.0/24"), ("bind web tcp 192.0.2.0 80", "192.0.2.0"),
        ("bind web tcp 192.0.2.0/24 70000", "70000"), ("bind web tcp 192.0.2.0/24 9-1", "9-1"),
        ("bind web tcp 192.0.2.0/24 ''", ""), ("bind w/b tcp 192.0.2.0/24 80", "w/b"), ("bind '' tcp ::/0 80", "label"),
        ("bind --refuse --pass tcp ::/0 80", "exclude"), ("bind --refuse web tcp ::/0 80", "3 words"),
        ("bind web tcp 192.0.2.0/24 80 --from 10.0.0.1", "10.0.0.1/32"),
        ("bind web tcp 192.0.2.0/24 80 --from ::/0", "no prefix here is of the family"),
        ("bind web tcp 192.0.2.0/24 ::/0 80 --from 10.0.0.0/8", "no --from here is of the family of ::/0"),
        ("bind web tcp 192.0.2.0/24 80 --from", "--from"), ("bind web tcp 192.0.2.0/24 80 --on a/b", "a/b"),
        ("bind web tcp 192.0.2.0/24 80 --on 1234567890123456", "16 bytes"),
        ("explain tcp 192.0.2.1 80 --on a/b", "a/b"),
        ("unbind web tcp ::/0", "4 words"), ("bindings --file xml", "xml"), ("status -1", ""),
        ("status nan", "interval"),
        ("load --readers nosuchgroup", "nosuchgroup"), ("unload now", "now"), ("sockets --nosuch", "--nosuch"),
        ("bindings --netns /x --pid 1", "one of them"), ("bindings --pid x", "x"), ("apply", "file"),
        ("apply x.yaml --format xml", "xml"), ("register --names a=b web", "web"),
        ("register web --pid 1 icmp", "icmp"), ("register web --pid 1 tcp 1.2.3.4", "1.2.3.4"),
        ("register web --pid 1 tcp 1.2.3.4:5 6", "protocol and an address"), ("unregister", "label"),
    ]

    @Test("Each is named")
    func words() async throws {
        try await withBed { bed in
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            for (line, hint) in Self.lines {
                try bed.refused(line, hint, exitCode: 64)
            }
        }
    }

    @Test("With --json the sentence is an object with a code, and only that")
    func json() async throws {
        try await withBed { bed in
            for (line, code, exitCode) in [
                ("bind web tcp 192.0.2.1/24 80", "usage", 64), ("bindings --nosuch", "usage", 64),
                ("unbind web tcp 192.0.2.0/24 80", "unknownBinding", 1), ("unregister web", "socketNotRegistered", 1),
                ("load", "alreadyLoaded", 1), ("bindings --bpffs /nowhere", "storageUnavailable", 1),
                ("bindings --netns /nowhere", "networkNamespaceUnavailable", 1),
            ] {
                let run = try bed.run("\(line) --json")
                let report = try JSONValue(run.error)
                try verify(run.exitCode, is: Int32(exitCode), "exit code of \(line)")
                try verify(run.output, is: "")
                try verify(report.keys, is: ["error"])
                try verify(report["error"].keys, is: ["code", "message"])
                try verify(report["error"]["code"].string, is: code)
            }
        }
    }

    @Test("Without a verb, or with one of another level, the verbs are named")
    func verbs() async throws {
        try await withBed(loaded: false) { bed in
            for (line, hint) in [
                ("", "steer needs a verb: give one of load, "), ("--", "\"--\" is not a verb of steer"),
                ("pool", "steer pool needs a verb: give one of status, move"),
                ("pool shift", "\"shift\" is not a verb of steer pool: give one of status, move"),
                ("help nosuch", "\"nosuch\" is not a verb of steer: give one of load, "),
                ("help pool shift", "\"shift\" is not a verb of steer pool: give one of status, move"),
            ] {
                let run = try bed.sh("\(bed.steer) \(line)")
                try verify(run.exitCode == 64 && run.output.isEmpty && run.error.contains(hint), "\(line): \(run)")
            }
            for words in ["reload", "help reload"] {
                let dns = try bed.sh("\(try Programs.path(of: "steer-dns")) \(words)")
                try verify(dns.exitCode == 64 && dns.error.contains("give one of serve, check, ask"), "\(dns)")
            }
            for words in ["help", "help load", "help pool", "help pool move", "help help"] {
                let help = try bed.sh("\(bed.steer) \(words)")
                try verify(help.exitCode == 0 && help.output.contains("USAGE: "), "\(words): \(help)")
            }
        }
    }

    private static let programs = ["steer", "steer-dns", "steerd", "steerd-run"]

    @Test("Each program tells its version", arguments: programs)
    func version(program: String) async throws {
        try await withBed(loaded: false) { bed in
            let run = try bed.sh("\(try Programs.path(of: program)) --version")
            try verify(run.exitCode == 0 && run.error.isEmpty, "\(run)")
            try verify(run.output.wholeMatch(of: /[a-z-]+ \d+\.\d+\.\d+\n/) != nil, run.output)
            try verify(run.output.hasPrefix("\(program) "), run.output)
        }
    }

    @Test(
        "Output that is lost is an error",
        arguments: [
            ("steer", "--version"), ("steer", "help bind"), ("steer", "--generate-completion-script bash"),
            ("steer", "bindings"), ("steer", "bindings --json"), ("steer", "bindings --file yaml"), ("steer", "status"),
            ("steer", "metrics"), ("steer", "sockets"), ("steer", "explain tcp 192.0.2.1 80"), ("steer", "doctor"),
            ("steer", "apply POLICY"), ("steer", "apply POLICY --dry-run"),
            ("steer", "label web --without-socket pass --json"),
            ("steer", "bind web tcp 192.0.2.0/24 82 --json"), ("steerd", "--version"), ("steerd", "--help"),
            ("steerd-run", "--version"), ("steerd-run", "--help"),
        ])
    func lostOutput(program: String, words: String) async throws {
        try await withBed { bed in
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            let policy = try bed.write(bed.policy("web"), to: "policy.yaml")
            let isLoose = words.contains("-version") || words.hasPrefix("help") || words.hasPrefix("--")
            let line =
                try "\(Programs.path(of: program)) \(words.replacing("POLICY", with: policy))"
                + (isLoose ? "" : " --bpffs \(bed.bpffs.path)")
            let run = try bed.sh("\(line) >/dev/full")
            try verify(run.exitCode != 0 && run.error.contains("No space left on device"), "\(words): \(run)")
        }
    }

    @Test(
        "Where there is no /proc, the words are read all the same: nothing succeeds by printing its help",
        arguments: [
            ("steer", "bindings"), ("steer", "bind web tcp 192.0.2.0/24 80"), ("steer", "load"), ("steer", "nosuch"),
            ("steerd", "--policy /nowhere"), ("steerd-run", "web -- /nowhere/web"), ("steerd-run", ""),
            ("steer-dns", "check /nowhere"), ("steer-dns", "nosuch"),
        ])
    func withoutProc(program: String, words: String) async throws {
        try await withBed(loaded: false) { bed in
            let path = try Programs.path(of: program)
            let run = try bed.sh("unshare -m sh -c 'umount -l /proc && exec \(path) \(words)'")
            try verify(run.exitCode != 0 && !run.error.isEmpty, "\(run)")
            try verify(!run.output.contains("OVERVIEW"), run.output)
        }
    }

    @Test("Without /proc steerd-run names the cause, and does not wait for a program that it cannot see")
    func runWithoutProc() async throws {
        try await withBed(loaded: false) { bed in
            let steerd = try SteerdBed(bed)
            let running = try steerd.start()
            let program = try Programs.path(of: "steerd-run")
            let line = "\(SteerdBed.webUser) \(program) web --steerd \(steerd.socket) -- sleep 600"
            let run = try bed.sh("unshare -m sh -c 'umount -l /proc && exec \(line)'")
            try verify(run.exitCode == 1 && run.error.contains("/proc is not mounted"), "\(run)")
            _ = running
        }
    }

    @Test("Completion knows namespaces with a name, and labels")
    func completions() async throws {
        try await withBed { bed in
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            let name = "completion-\(UInt32.random(in: 0...UInt32.max))"
            try shell("ip netns add \(name)")
            defer { _ = try? shell("ip netns delete \(name)") }
            func complete(_ argument: String, _ words: String) throws -> String {
                try bed.sh("\(bed.steer) ---completion \(argument) -- \(words)").output
            }
            let namespaces = try complete("load -- --netns 2 0", "steer load --netns ''")
            try verify(namespaces.contains("/run/netns/\(name)"), namespaces)
            let labels = try complete("unregister -- positional@0 4 0", "steer unregister --bpffs \(bed.bpffs.path) ''")
            try verify(labels.split(whereSeparator: \.isNewline).contains("web"), labels)
        }
    }

    @Test("Help and completions are no errors")
    func help() async throws {
        try await withBed(loaded: false) { bed in
            let verbs = [
                "load", "unload", "upgrade", "apply", "bind", "unbind", "label", "register", "unregister", "bindings",
                "sockets",
                "status", "metrics", "explain", "trace", "doctor", "pool",
            ]
            let all = try bed.sh("\(bed.steer) --help")
            for verb in verbs {
                try verify(all.output.contains("  \(verb) "), "\(verb) in the help")
                let run = try bed.sh("\(bed.steer) \(verb) --help")
                try verify(
                    run.exitCode == 0 && run.error.isEmpty && run.output.contains("USAGE: steer \(verb)"), "\(run)")
            }
            for shell in ["bash", "zsh", "fish"] {
                let run = try bed.sh("\(bed.steer) --generate-completion-script \(shell)")
                try verify(run.exitCode == 0 && run.output.contains("doctor"), "\(shell)")
            }
            let both = try bed.sh("\(bed.steer) metrics --listen 127.0.0.1:0 --json")
            try verify(both.exitCode == 64 && both.error.contains("--listen serves"), "\(both)")
            let bash = try bed.sh("\(bed.steer) --generate-completion-script bash | bash -n")
            try verify(bash.exitCode == 0, "\(bash)")
        }
    }
}
