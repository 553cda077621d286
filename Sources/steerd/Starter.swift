import CommandSupport
import Glibc
import LinuxSockets
import PolicyFiles
import ServiceSupport
import Steering

/// The process that starts services: a copy of steerd, forked before steerd drops its capabilities, that keeps the two
/// it needs to become another user (CAP_SETUID, CAP_SETGID). It reads the commands from the policy file itself and runs
/// nothing else: an attacker who controls steerd can choose when to start a service, but not what to run.
final class Starter {
    private let steerd: MessageSocket
    private let policyFile: String
    private var commands: [Label: StartCommand]
    private var children: [CInt: (label: Label, process: ChildProcess)] = [:]
    private var poll: EventPoll

    /// Forks the process if the policy file has start commands.
    ///
    /// - Returns: The connection to it and the labels that it can start; nil if there are none.
    /// - Throws: `invalidPolicyFile` if the user of a command does not exist; `systemCall`.
    static func make(
        _ service: ServicePolicy, policyFile: String
    ) throws(SteeringError) -> (connection: MessageSocket, labels: Set<Label>)? {
        let commands = service.commands
        guard !commands.isEmpty else { return nil }
        for (label, command) in commands where command.account == nil {
            throw .noAccount(label, command.userNumber)
        }
        let (here, there) = try MessageSocket.pair()
        _ = try ChildProcess.copy {
            setsid()
            Starter.run(over: there, commands, policyFile)
        }
        return (here, Set(commands.keys))
    }

    private static func run(
        over connection: MessageSocket, _ commands: [Label: StartCommand], _ policyFile: String
    ) -> Never {
        do throws(SteeringError) {
            // Descriptors that were passed to steerd must not stay open here.
            try ChildProcess.keepOpen(connection.socket.rawValue)
            let isRoot = geteuid() == 0
            try Capabilities.dropAll(except: isRoot ? [.setUser, .setGroups] : [])
            let starter = try Starter(MessageSocket(OwnedDescriptor(owning: 3)), commands, policyFile)
            try starter.serve()
        } catch {
            Steerd.printError(error.message)
        }
        _exit(0)
    }

    private init(
        _ steerd: MessageSocket, _ commands: [Label: StartCommand], _ policyFile: String
    ) throws(SteeringError) {
        self.steerd = steerd
        self.commands = commands
        self.policyFile = policyFile
        poll = try EventPoll()
        try poll.watch(steerd.socket.rawValue)
    }

    /// Serves until steerd has ended. Started services go on.
    private func serve() throws(SteeringError) {
        while true {
            for descriptor in try poll.wait(nil) {
                if let child = children.removeValue(forKey: descriptor) {
                    poll.forget(descriptor)
                    try steerd.send(Array("ended \(child.label) \(child.process.outcome())".utf8))
                } else if descriptor == steerd.socket.rawValue {
                    guard let message = try steerd.receive(limit: 256) else { return }
                    let words = String(decoding: message.bytes, as: UTF8.self).split(separator: " ")
                    if words.count == 2, let label = try? Label(words[1]) {
                        try start(label, message.descriptors)
                    } else {
                        reload()
                    }
                }
            }
        }
    }

    private func start(_ label: Label, _ descriptors: [SharedDescriptor]) throws(SteeringError) {
        do throws(SteeringError) {
            guard let command = commands[label], let account = command.account else { throw .nothingToStart(label) }
            let child = try ChildProcess.copy {
                setsid()
                Self.execute(command, as: account, descriptors.map(\.rawValue), label)
            }
            withExtendedLifetime(descriptors) {}
            let descriptor = child.descriptor.rawValue
            children[descriptor] = (label, child)
            try poll.watch(descriptor)
            try steerd.send(Array("started \(label) \(child.pid)".utf8), [descriptor])
        } catch {
            try steerd.send(Array("failed \(label) \(error.message)".utf8))
        }
    }

    /// Runs the command, in the child process.
    private static func execute(
        _ command: StartCommand, as account: Account, _ descriptors: [CInt], _ label: Label
    ) -> Never {
        // Signals that steerd ignores must not be ignored in the service.
        for number in [SIGHUP, SIGPIPE] { signal(number, SIG_DFL) }
        let program = ProgramExecution(command.words, as: account)
        Steerd.printError(program.run(passing: descriptors, as: label.name).message)
        _exit(127)
    }

    /// Rereads the commands. steerd has already checked the file; if it has become invalid since, the former commands
    /// stay.
    private func reload() {
        if let service = try? ServiceFile.read(policyFile) { commands = service.commands }
    }
}

extension ServicePolicy {
    fileprivate var commands: [Label: StartCommand] { services.compactMapValues(\.start) }
}

extension StartCommand {
    fileprivate var userNumber: UInt32 { user ?? geteuid() }

    /// The account as which it runs; nil if the machine has no such user.
    fileprivate var account: Account? { Account(user: userNumber) }
}

extension SteeringError {
    fileprivate static func noAccount(_ label: Label, _ user: UInt32) -> SteeringError {
        SteeringError(
            .invalidPolicyFile,
            "the start command of \(label) runs as user \(user), which does not exist: create it first")
    }

    fileprivate static func nothingToStart(_ label: Label) -> SteeringError {
        SteeringError(
            .programUnavailable, "the policy file has nothing to start for \(label): add it, and restart steerd")
    }
}
