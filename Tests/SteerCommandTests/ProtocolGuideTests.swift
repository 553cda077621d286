import Foundation
import KernelTestSupport
import Steering
import Testing

/// docs/protocol.md does what it says.
@Suite(.kernel)
struct ProtocolGuideTests {
    @Test("The examples in Python and C are steered to, one after the other, and the successor takes the socket")
    func examples() async throws {
        let blocks = try Guide.blocks(of: "docs/protocol.md")
        let python = blocks.filter { $0.language == "python" }.map(\.text)
        let c = blocks.filter { $0.language == "c" }.map(\.text)
        let policy = blocks.filter { $0.language == "yaml" }.map(\.text)
        #expect(python.count == 2 && c.count == 1 && policy.count == 2)
        #expect(Set(blocks.map(\.language)) == ["python", "c", "text", "yaml", "console"])
        // What is called so there.
        #expect(python[0].split(separator: "\n").count == 10)
        try await withSteerdBed { steerd in
            _ = try steerd.bed.write(policy[0], to: "policy.yaml")
            let process = try steerd.start()
            defer { withExtendedLifetime(process) {} }
            func here(_ text: String) -> String { text.replacing("/run/steerd.sock", with: steerd.socket) }
            func answers(_ word: String) throws {
                try eventually("'\(word)' is answered") { try steerd.bed.ask("192.0.2.9", port: 80) == word }
            }

            let first = try steerd.bed.python(here(python[0]))
            try answers("from Python")
            try first.signal("KILL")
            _ = try first.exitCode()
            let second = try steerd.bed.python(here(python[1]))
            try answers("from its successor")
            let source = try steerd.bed.write(here(c[0]), to: "service.c")
            let program = "\(steerd.bed.folder)/service"
            try shell("cc -Wall -Wextra -Werror -o \(program) \(source)")
            let third = try Background(program, in: steerd.bed)
            try answers("from C")
            for process in [second, third] { try verify(process.error, is: "") }
            // With something to start.
            _ = try steerd.bed.write(policy[1], to: "policy.yaml")
            try process.signal("TERM")
            _ = try process.exitCode()
            withExtendedLifetime(try steerd.start()) {}
        }
    }

    @Test(
        "A service in other mount, process and user namespaces, without a capability, hands its socket over",
        .userNamespaces)
    func container() async throws {
        try requireUserNamespaces()
        try await withSteerdBed { steerd in
            let process = try steerd.start()
            defer { withExtendedLifetime(process) {} }
            // Another /run, where nothing is but steerd's socket; nobody's process to be seen.
            let program = try steerd.bed.write(
                try Guide.blocks(of: "docs/protocol.md").first { $0.language == "python" }!.text,
                to: "contained.py")
            let script = try steerd.bed.write(
                """
                set -e
                mount -nt tmpfs tmpfs /mnt; cp \(program) /mnt/service.py; touch /mnt/steerd.sock
                mount -n --bind \(steerd.socket) /mnt/steerd.sock
                mount -n --move /mnt /run
                mount -nt proc proc /proc
                [ $(ls -d /proc/[0-9]* | wc -l) -lt 8 ] && [ ! -e /run/steering-test ]
                exec setpriv --bounding-set -all --no-new-privs \(Bed.python) /run/service.py
                """, to: "container.sh")
            let contained = try Background(
                "setpriv --reuid 65534 --regid 65534 --clear-groups unshare --user --map-root-user --mount --pid --fork "
                    + "--kill-child bash \(script)", in: steerd.bed)
            try eventually("it is reached") {
                let complaint = try contained.error
                if !complaint.isEmpty { throw Unmet(description: complaint) }
                return try steerd.bed.ask("192.0.2.9", port: 80) == "from Python"
            }
        }
    }

    @Test("The answers that the page shows are read as answers, and its codes are those that there are")
    func answers() throws {
        let blocks = try Guide.blocks(of: "docs/protocol.md").filter { $0.language == "text" }
        for block in blocks {
            let reply = try ActivationReply(Array(block.text.trimmingCharacters(in: .newlines).utf8))
            if case .done(let lines) = reply {
                for line in lines { #expect(try HeldSocket(line: line).line == line) }
            }
        }
        let page = try String(contentsOf: Guide.root.appending(path: "docs/protocol.md"), encoding: .utf8)
        let table = page.components(separatedBy: "| code | |")[1].components(separatedBy: "\n\n")[0]
        let codes = table.split(separator: "`").enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
        #expect(codes.count >= 20)
        for code in codes where code != "replacing" && !code.contains(" ") {
            let reply = try ActivationReply(Array("error \(code) why".utf8))
            #expect(String(decoding: reply.bytes, as: UTF8.self) == "error \(code) why")
        }
    }
}
