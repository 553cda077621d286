import Foundation
import KernelTestSupport
import Steering
import Testing

/// Who may do what at steerd.
@Suite(.kernel)
struct SteerdAuthorityTests {
    @Test("Users and members of groups may use their labels, and nothing else")
    func allowed() async throws {
        try await withSteerdBed { steerd in
            let process = try steerd.start()
            let web = try steerd.ask(
                [
                    ("steering/1 register web", "tcp()"), ("steering/1 claim web", ""), ("steering/1 status", ""),
                    ("steering/1 register dns", "udp()"), ("steering/1 claim dns", ""), ("steering/1 list dns", ""),
                    ("steering/1 unregister dns", ""), ("steering/1 claim nowhere", ""),
                ], as: SteerdBed.webUser)
            try verify(web[0].hasPrefix("ok\ntcp 127.0.0.1:") && web[0].hasSuffix(" registered"), web[0])
            try verify(web[1].hasPrefix("ok\ntcp ") && web[1].hasSuffix(" +1"), web[1])
            try verify(web[2], is: "ok\nweb 1 0 0 0")
            for answer in web[3...] { try verify(answer.hasPrefix("error notAllowed user 65534 "), answer) }
            let dns = try steerd.ask(
                [("steering/1 register dns", "udp()"), ("steering/1 status", ""), ("steering/1 claim web", "")],
                as: SteerdBed.dnsUser)
            try verify(dns[0].hasSuffix(" registered"), dns[0])
            try verify(dns[1], is: "ok\ndns 1 0 0 0")
            try verify(dns[2].hasPrefix("error notAllowed user 65531 "), dns[2])

            let before = try steerd.descriptors(of: process)
            let refused = try steerd.ask(
                [
                    ("steering/1 register web", "tcp()"), ("steering/1 register web replacing", "tcp()"),
                    ("web#", "tcp()"), ("steering/1 claim web", ""), ("steering/1 unregister web", ""),
                    ("steering/1 list web", ""), ("steering/1 status", ""), ("nonsense", ""),
                ], as: SteerdBed.stranger)
            for answer in refused {
                try verify(
                    answer,
                    is: "error notAllowed user 65532 may not use any label: allow the user in the policy file")
            }
            // Attendants with nobody to talk to end.
            try eventually("nothing stays open") { try steerd.descriptors(of: process) <= before }
            let log = try process.error
            try verify(log.contains("code=notAllowed") && log.contains("user=65532") && log.contains("label=dns"), log)
            try verify(steerd.client.status().map(\.sockets), is: [1, 1])
        }
    }

    @Test("Of a user in 65,536 groups only those are kept that the policy file names", arguments: [true, false])
    func manyGroups(isMember: Bool) async throws {
        try await withSteerdBed { steerd in
            let process = try steerd.start()
            let groups = "range(300000, 365535), [\(isMember ? 65533 : 400_000)]"
            let client = try steerd.bed.python(
                """
                import itertools
                \(SteerdBed.helpers.replacing("PATH", with: steerd.socket))
                os.setgroups([*itertools.chain(\(groups))]); os.setgid(65531); os.setuid(65531)
                kept = []
                for _ in range(32):
                    ask('steering/1 list dns', [])
                    kept.append(d); d = None
                print('all', flush=True)
                time.sleep(600)
                """)
            try eventually("it has asked") { try client.output.hasSuffix("all\n") || !client.error.isEmpty }
            let answers = try client.output.components(separatedBy: "\u{1}\n").dropLast()
            let expected = isMember ? "ok" : "error notAllowed user 65531 may not use any label"
            try verify(answers.count == 32 && answers.allSatisfy { $0.hasPrefix(expected) }, "\(answers)")
            // All groups of 32 connections would take 16 MiB.
            let status = try shell("cat /proc/\(process.pid)/status").split(separator: "\n")
            func kibibytes(_ name: String) -> Int {
                status.first { $0.hasPrefix(name) }.flatMap { Int($0.split(separator: " ").dropLast().last!) } ?? 0
            }
            let data = kibibytes("RssAnon:")
            try verify(data > 0 && data < 16 << 10, "\(data) KiB")
        }
    }

    @Test("SIGHUP reads the file anew; what cannot be applied changes nothing, and is said")
    func reload() async throws {
        try await withSteerdBed { steerd in
            let process = try steerd.start()
            func reload(_ text: String, until line: String) throws {
                _ = try steerd.bed.write(text, to: "policy.yaml")
                let before = try process.error.utf8.count
                try process.signal("HUP")
                try eventually("'\(line)' is logged") { try process.error.dropFirst(before).contains(line) }
            }
            func isAllowed() throws -> Bool {
                try steerd.ask([("steering/1 list web", "")], as: SteerdBed.stranger)[0] == "ok"
            }
            let wider = SteerdBed.policy.replacing("users: 65534", with: "users: [65534, 65532]")
            try verify(!isAllowed(), "a stranger is allowed")
            try reload(wider, until: "policy reloaded")
            try verify(isAllowed(), "it is not allowed after the file changed")
            try reload("labels: {", until: "code=invalidPolicyFile")
            try verify(isAllowed(), "a broken file took something away")
            // Other bindings take a capability, which steerd does not have any more.
            let grown = wider + "  - { label: new, protocols: tcp, prefixes: 192.0.2.0/24, ports: 8080 }\n"
            try reload(grown, until: "run steer apply")
            let listener = try OwnedDescriptor.listener(on: SocketAddress("127.0.0.1:0"))
            try verifyThrows(.unknownLabel) { try steerd.client.register(listener, as: "new") }
            try steerd.bed.steer("apply \(steerd.policy)")
            try process.signal("HUP")
            try steerd.client.register(listener, as: "new")
            try verify(try Traffic.connect(.tcp, to: SocketAddress("192.0.2.9:8080")) != nil, "it is not reached")
            try reload(SteerdBed.policy, until: "run steer apply")
            try verify(isAllowed(), "half of a file was applied")
        }
    }

    @Test("After the start no thread has a capability, nor can get one; two suffice to start")
    func capabilities() async throws {
        try await withSteerdBed { steerd in
            for wrapper in ["", "setpriv --no-new-privs --bounding-set -all,+bpf,+net_admin --inh-caps -all"] {
                let process = try steerd.start(under: wrapper)
                let listener = try OwnedDescriptor.listener(on: SocketAddress("127.0.0.1:0"))
                try steerd.client.register(listener, as: "web", replacing: true)
                let status = try process.threads("status")
                let lines = status.split(separator: "\n")
                for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                    let values = Set(lines.filter { $0.hasPrefix(set) })
                    try verify(values, is: ["\(set):\t0000000000000000"])
                }
                try verify(Set(lines.filter { $0.hasPrefix("NoNewPrivs") }), is: ["NoNewPrivs:\t1"])
                if wrapper.isEmpty {
                    try verify(Set(lines.filter { $0.hasPrefix("CapBnd") }), is: ["CapBnd:\t0000000000000000"])
                }
                try process.signal("TERM")
                try verify(process.exitCode(), is: 0)
            }
        }
    }

    @Test("What is wrong at the start is said in one sentence, and nothing is left behind")
    func starts() async throws {
        try await withSteerdBed { steerd in
            _ = try steerd.bed.write(
                "bindings: []\nlabels: { web: { allow: { users: no-such-user } } }\n", to: "policy.yaml")
            let unknown = try steerd.bed.sh(try steerd.line())
            try verify(unknown.exitCode == 1 && unknown.error.contains("policy.yaml:2:34: "), "\(unknown)")
            _ = try steerd.bed.write(SteerdBed.policy, to: "policy.yaml")
            let unprivileged = try steerd.bed.sh(try steerd.line(under: SteerdBed.stranger))
            try verify(unprivileged.exitCode == 1 && unprivileged.error.hasPrefix("steerd: "), "\(unprivileged)")
            let usage = try steerd.bed.sh("\(try Programs.path(of: "steerd"))")
            try verify(usage.exitCode == 64 && usage.error.contains("--policy"), "\(usage)")
        }
    }
}
