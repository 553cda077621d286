import Foundation
import KernelTestSupport
import Testing

/// `status --watch` on a terminal.
@Suite(.kernel)
struct WatchTests {
    @Test("It is shown in place; whatever ends it, the terminal is as it was", arguments: ["INT", "TERM", "HUP"])
    func inPlace(_ signal: String) async throws {
        try await withBed { bed in
            let script = try bed.write(
                "\(bed.line("status 0.1 --watch")) & echo $! > \(bed.folder)/pid; wait $!; echo code $?\n",
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
}
