import CSteering
import Glibc

/// Shell commands, run so that they disturb no other test.
///
/// Between fork and exec a child holds a copy of every descriptor. Were it this process's table, sockets
/// and links that tests close would live on for milliseconds, and tests run in parallel. So children are
/// made by threads whose descriptor table is their own and empty.
enum Commands {
    /// Runs a command in the calling thread's network namespace: its output, and what wait(2) says.
    static func run(_ command: String) -> (output: String, status: CInt) {
        // At home there is nothing to enter, for which one would have to be root.
        let isHome = link("/proc/thread-self/ns/net") == link("/proc/self/ns/net")
        let namespace = isHome ? nil : "/proc/\(link("/proc/thread-self"))/ns/net"
        return spawner.run(namespace: namespace, command: command)
    }

    private static func link(_ path: String) -> String {
        var target = [CChar](repeating: 0, count: 64)
        readlink(path, &target, target.count - 1)
        return String(decoding: target.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
    }

    private static let spawner = Spawner()
}

/// A thread with a descriptor table of its own; the threads that it starts share that table.
private final class Spawner: @unchecked Sendable {
    private typealias Job = @Sendable () -> Void
    private var jobs: [Job] = []
    private var lock = pthread_mutex_t()
    private var waiting = sem_t()

    init() {
        _ = Patience.seconds  // Commands have it in their environment.
        pthread_mutex_init(&lock, nil)
        sem_init(&waiting, 0, 0)
        let started = ThreadResult<Void>()
        runOnThread {
            // Glibc's module does not show unshare.
            let unshare = unsafeBitCast(dlsym(nil, "unshare"), to: (@convention(c) (CInt) -> CInt).self)
            precondition(unshare(0x400 /* CLONE_FILES */) == 0, "unshare(CLONE_FILES) failed")
            closefrom(3)
            started.finish(())
            while true {
                while sem_wait(&self.waiting) != 0 {}
                pthread_mutex_lock(&self.lock)
                let job = self.jobs.removeFirst()
                pthread_mutex_unlock(&self.lock)
                runOnThread(job)
            }
        }
        started.wait()
    }

    func run(namespace: String?, command: String) -> (output: String, status: CInt) {
        let done = ThreadResult<(output: String, status: CInt)>()
        pthread_mutex_lock(&lock)
        jobs.append {
            if let namespace {
                let target = open(namespace, O_RDONLY | O_CLOEXEC)
                precondition(csteering_enter_netns(target) == 0, "cannot enter \(namespace)")
                close(target)
            }
            // Threads of the test runner block every signal, and children would inherit that.
            var none = sigset_t()
            sigemptyset(&none)
            pthread_sigmask(SIG_SETMASK, &none, nil)
            let output = popen("exec 2>&1; \(command)", "re")!
            var text: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 4096)
            while case let count = fread(&buffer, 1, buffer.count, output), count > 0 { text += buffer[..<count] }
            done.finish((String(decoding: text, as: UTF8.self), pclose(output)))
        }
        pthread_mutex_unlock(&lock)
        sem_post(&waiting)
        return done.wait()
    }
}
