import Foundation
import KernelTestSupport
import Testing

/// `status --watch` on a terminal.
@Suite(.kernel)
struct WatchTests {
    @Test(
        "It is shown in place; whatever ends it, the terminal is as it was", arguments: ["INT", "TERM", "HUP", "QUIT"])
    func inPlace(_ signal: String) async throws {
        try await withBed { bed in
            let script = try bed.write(
                "export TERM=xterm; \(bed.line("status 0.1 --watch")) & echo $! > \(bed.folder)/pid; wait $!; echo code $?\n",
                to: "script.sh")
            let terminal = try Background("script -qfec 'sh \(script)' \(bed.folder)/terminal", in: bed)
            func shown() throws -> String { try shell("cat \(bed.folder)/terminal 2>/dev/null || true") }
            try eventually("two readings") { try shown().components(separatedBy: "LABEL").count > 2 }
            try shell("kill -\(signal) $(cat \(bed.folder)/pid)")
            try verify(terminal.exitCode(), is: 0)

            let parts = try shown().components(separatedBy: "\u{1b}[?1049h\u{1b}[?25l")
            try verify(parts.count, is: 2, "parts around the beginning")
            let after = parts[1].components(separatedBy: "\u{1b}[?25h\u{1b}[?1049l")
            try verify(after.count, is: 2, "parts around the end")
            try verify(after[1].contains("LABEL") && after[1].contains("code 0"), after[1])
        }
    }

    @Test("While it is stopped, the terminal is as it was")
    func stopped() async throws {
        try await withBed { bed in
            let script = try bed.write(
                "export TERM=xterm; \(bed.line("status 0.1 --watch")) & echo $! > \(bed.folder)/pid; wait $!; wait $!\n",
                to: "script.sh")
            let terminal = try Background("script -qfec 'sh \(script)' \(bed.folder)/terminal", in: bed)
            func parts(_ text: String) throws -> Int {
                try shell("cat \(bed.folder)/terminal 2>/dev/null || true").components(separatedBy: text).count
            }
            let (begin, end) = ("\u{1b}[?1049h\u{1b}[?25l", "\u{1b}[?25h\u{1b}[?1049l")
            try eventually("two readings") { try parts("LABEL") > 2 }
            try shell("kill -TSTP $(cat \(bed.folder)/pid)")
            try eventually("it stops") { try shell("cat /proc/$(cat \(bed.folder)/pid)/stat").contains(") T ") }
            try verify(parts(begin) == 2 && parts(end) == 2, "the terminal of one that is stopped")
            try shell("kill -CONT $(cat \(bed.folder)/pid)")
            try eventually("it goes on") { try parts(begin) == 3 }
            try shell("kill -TERM $(cat \(bed.folder)/pid)")
            _ = try terminal.exitCode()
            try verify(parts(end), is: 3)
        }
    }
}
