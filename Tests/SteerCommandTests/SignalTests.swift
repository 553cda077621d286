import KernelTestSupport
import Testing

/// Signals that come as soon as a program has said that it serves: none is lost.
@Suite(.kernel)
struct SignalTests {
    /// Starts a program again and again, waits for its line, and signals it at once.
    private static let program = """
        import signal, subprocess, sys, threading
        number, word, answer, *command = sys.argv[1:]
        for turn in range(20):
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
                watchdog = threading.Timer(30, process.kill)
                watchdog.start()
                lines = []
                for line in process.stdout:
                    lines.append(line)
                    if word in line: break
                process.send_signal(getattr(signal, number))
                if answer != '-':
                    for line in process.stdout:
                        lines.append(line)
                        if answer in line: break
                    process.terminate()
                process.stdout.read()
                code = process.wait()
                watchdog.cancel()
                if code != 0: sys.exit(f'turn {turn}: exit code {code}: {lines}')
        """

    private func signal(_ bed: Bed, _ name: String, word: String, answer: String = "-", _ command: String) throws {
        let program = try bed.write(Self.program, to: "signalling.py")
        let run = try bed.sh("timeout 300 \(Bed.python) \(program) SIG\(name) '\(word)' '\(answer)' \(command)")
        try verify(run.exitCode == 0 && run.error.isEmpty, "\(name): \(run)")
    }

    @Test("steer-dns ends, or reads its policy again, at once after its line")
    func dns() async throws {
        try await withBed(loaded: false) { bed in
            _ = try bed.write(
                "$ORIGIN example.com.\n$TTL 60\n@ SOA ns1 host 1 2h 1h 2w 300\n@ NS ns1\nns1 A 192.0.2.53\n", to: "zone"
            )
            let policy = try bed.write(
                "{ \"pools\": { \"web\": \"203.0.113.7/32\" }, \"names\": { \"zones\": [\"zone\"], "
                    + "\"policies\": [{ \"name\": \"default\", \"pool\": \"web\" }] } }", to: "names.json")
            let command =
                "\(try Programs.path(of: "steer-dns")) serve --policy \(policy) --workers 1 --listen 127.0.0.1:5300"
            for name in ["TERM", "INT"] { try signal(bed, name, word: "serving 127", command) }
            try signal(bed, "HUP", word: "serving 127", answer: "policy reloaded", command)
        }
    }

    @Test("steerd ends, or reads its policy again, at once after its line")
    func steerd() async throws {
        try await withSteerdBed { steerd in
            try steerd.bed.steer("load")
            for name in ["TERM", "INT"] { try signal(steerd.bed, name, word: "serving", try steerd.line()) }
            try signal(steerd.bed, "HUP", word: "serving", answer: "policy reloaded", try steerd.line())
        }
    }

    @Test("The counters' server ends at once after its line")
    func metrics() async throws {
        try await withBed { bed in
            for name in ["TERM", "INT"] {
                try signal(bed, name, word: "serving", bed.line("metrics --listen 127.0.0.1:9110"))
            }
        }
    }
}
