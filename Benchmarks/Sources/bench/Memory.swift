import CBench
import FoundationEssentials
import Glibc

/// How much memory there is of each kind, in MiB.
enum Memory {
    /// Of this process, or another one.
    static func resident(of process: String = "self") -> Double { status("VmRSS", of: process) }

    /// The most since ``forgetPeak()``.
    static var peak: Double { status("VmHWM", of: "self") }

    static func forgetPeak() {
        bench_trim()
        guard let file = fopen("/proc/self/clear_refs", "w") else { return }
        fputs("5", file)
        fclose(file)
    }

    /// Of the kernel, for whomever: slabs, vmalloc, per-CPU. Others change it, too: for differences that are large,
    /// or taken often.
    static var kernel: Double {
        lines(of: "/proc/meminfo").reduce(0) { sum, line in
            ["Slab:", "VmallocUsed:", "Percpu:"].contains { line.hasPrefix($0) } ? sum + number(in: line) / 1024 : sum
        }
    }

    /// The same once memory has been given back that was only waiting for its last reader.
    static var settledKernel: Double {
        var last = kernel, still = 0
        for _ in 0..<100 where still < 5 {
            usleep(50_000)
            let now = kernel
            still = abs(now - last) < 0.05 ? still + 1 : 0
            last = now
        }
        return last
    }

    /// Of a process, its own part of what it shares.
    static func own(of process: String = "self") -> Double {
        lines(of: "/proc/\(process)/smaps_rollup").first { $0.hasPrefix("Pss:") }.map { number(in: $0) / 1024 } ?? .nan
    }

    /// Of the BPF maps and programs that this process has open, as the kernel accounts for it; with the maps that
    /// are only in maps.
    static func ofBPF() throws -> Double {
        var byMap: [Int: Double] = [:], programs = 0.0
        func add(_ descriptor: CInt) {
            let info = lines(of: "/proc/self/fdinfo/\(descriptor)")
            func value(_ name: String) -> Double? { info.first { $0.hasPrefix(name + ":") }.map(number) }
            guard let memory = value("memlock") else { return }
            if let map = value("map_id") { byMap[Int(map)] = memory } else { programs += memory }
        }
        for name in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fdinfo") {
            guard let descriptor = CInt(name) else { continue }
            add(descriptor)
            var identifiers = Array(repeating: UInt32(0), count: 4096)
            // Not a map of maps, or no map at all: none.
            for index in 0..<max(0, Int(bench_inner_maps(descriptor, &identifiers, 4096))) {
                let inner = bench_map(identifiers[index])
                guard inner >= 0 else { continue }
                add(inner)
                close(inner)
            }
        }
        return (byMap.values.reduce(0, +) + programs) / 1_048_576
    }

    private static func status(_ name: String, of process: String) -> Double {
        lines(of: "/proc/\(process)/status").first { $0.hasPrefix(name + ":") }.map { number(in: $0) / 1024 } ?? .nan
    }

    private static func number(in line: Substring) -> Double {
        Double(line.drop { !$0.isNumber }.prefix { $0.isNumber }) ?? .nan
    }
}

/// How long something takes, in ms.
func milliseconds(_ body: () throws -> Void) rethrows -> Double {
    let start = bench_now()
    try body()
    return (bench_now() - start) / 1e6
}
