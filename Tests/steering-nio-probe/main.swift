// Servers whose threads live in a test's network namespace:
//
//   steering-nio-probe workers     four listeners; whoever is sent "close" closes itself
//   steering-nio-probe by-cpu      the same, and datagram channels, a worker for each processor
//   steering-nio-probe service     a listener as a service, which drains for two seconds when it is told to end
//   steering-nio-probe report      a listener that is added to a service; what is reported and logged of it
//   steering-nio-probe echo PORT   echoes datagrams: by NIO alone where they arrive at the port, steered on the next two
//   steering-nio-probe cycles      a thousand datagram channels, closed while they wait and while they read
//   steering-nio-probe async       an asynchronous server channel and an asynchronous datagram channel, echoing
import Foundation
import Logging
import MetricsTestKit
import NIOCore
import NIOPosix
import ServiceLifecycle
import Steering
import SteeringNIO
import Synchronization

func say(_ line: String) { FileHandle.standardOutput.write(Data("\(line)\n".utf8)) }

/// Greets with its number and the address that was asked, then echoes.
final class Worker: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    let number: Int
    init(_ number: Int) { self.number = number }

    func channelActive(context: ChannelHandlerContext) {
        let text = "worker \(number) at \(context.channel.originalDestination!) for \(context.channel.clientAddress!)\n"
        context.writeAndFlush(NIOAny(ByteBuffer(string: text)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard String(buffer: unwrapInboundIn(data)) == "close\n" else {
            return context.writeAndFlush(data, promise: nil)
        }
        // By way of the listener, the parent of what it accepted.
        context.channel.parent!.close(promise: nil)
    }
}

/// Says to whoever sends something which worker it is.
final class Receiver: ChannelInboundHandler {
    typealias InboundIn = SteeredDatagram
    typealias OutboundOut = SteeredDatagram
    let number: Int
    init(_ number: Int) { self.number = number }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let datagram = unwrapInboundIn(data)
        guard String(buffer: datagram.payload) != "close\n" else { return context.close(promise: nil) }
        context.write(wrapOutboundOut(datagram.reply(ByteBuffer(string: "worker \(number)"))), promise: nil)
    }
}

/// Sends back what comes.
final class PlainEcho: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { context.writeAndFlush(data, promise: nil) }
}

/// Sends back what comes, from where it was asked.
final class SteeredEcho: ChannelInboundHandler {
    typealias InboundIn = SteeredDatagram

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { context.writeAndFlush(data, promise: nil) }
}

let pool = try PrefixPool("192.0.2.0/24", "2001:db8:7::/64")
let steering = try SocketSteering.attach()
let group = MultiThreadedEventLoopGroup(numberOfThreads: 4)
let numbers = Atomic(0)

@Sendable func bootstrap(_ loop: any EventLoop) -> ServerBootstrap {
    let number = numbers.add(1, ordering: .relaxed).newValue
    return ServerBootstrap(group: loop).childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Worker(number)) }
    }
}

@Sendable func echo(_ connection: NIOAsyncChannel<ByteBuffer, ByteBuffer>) async throws {
    try await connection.executeThenClose { inbound, outbound in
        for try await bytes in inbound { try await outbound.write(bytes) }
    }
}

switch CommandLine.arguments.dropFirst().first {
case "workers":
    let listeners = try await steering.sockets.registerListeners(as: "web", over: group, bootstrap)
    try steering.bind("web", .tcp, to: pool, ports: [80])
    say("answering")
    for listener in listeners { try await listener.closeFuture.get() }
    try await Task.sleep(for: .seconds(600))

case "by-cpu":
    let processors = MultiThreadedEventLoopGroup(numberOfThreads: sysconf(CInt(_SC_NPROCESSORS_ONLN)))
    let listeners = try await steering.sockets.registerListeners(as: "web", over: processors, spread: .byCPU, bootstrap)
    let datagrams = Atomic(0)
    let receivers = try await steering.sockets.registerReceivers(as: "web", over: processors, spread: .byCPU) { loop in
        let number = datagrams.add(1, ordering: .relaxed).newValue
        return DatagramBootstrap(group: loop).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                // Both ways of waiting, in turns.
                let handler = SteeredDatagramHandler(waitsByDispatch: number % 2 == 0)
                try channel.pipeline.syncOperations.addHandlers(handler, Receiver(number))
            }
        }
    }
    try steering.bind("web", .both, to: pool, ports: [80])
    say("answering")
    let registered = try steering.sockets.list().filter { $0.destination.transport == .udp }
    say("\(receivers.count) receivers, \(registered.count) of them registered")
    for listener in listeners { try await listener.closeFuture.get() }
    try await Task.sleep(for: .seconds(600))

case "service":
    let listener = try await bootstrap(group.next()).bind(host: "127.0.0.1", port: 0).get()
    try steering.bind("web", .tcp, to: pool, ports: [80])
    let service = SteeringService(steering.sockets, [listener], as: "web") {
        say("draining")
        try await Task.sleep(for: .seconds(2))
        say("drained")
    }
    say("answering")
    let services = ServiceGroup(
        services: [service], gracefulShutdownSignals: [.sigterm], logger: Logger(label: "probe"))
    try await services.run()

case "report":
    let logger = Logger(label: "probe")
    let metrics = TestMetrics()
    @Sendable func met(_ condition: @Sendable (SteeringMetrics) -> Bool) async throws {
        while !condition(try steering.metrics()) { try await Task.sleep(for: .milliseconds(10)) }
    }
    var policy = Policy()
    try policy.bind("web", .tcp, to: pool, ports: [80])
    for prefix in pool.prefixes {
        policy.bind(try Binding(.tcp, to: prefix, ports: [81], .refuse))
        policy.bind(try Binding(.tcp, to: prefix, ports: [82], .pass))
    }
    try steering.apply(policy)
    say("answering")
    // What was counted before it is not the reporter's.
    let web = Destination("web", .ipv4, .tcp)
    try await met { $0.destinations[web]?.lookups == 1 }

    let service = SteeringService(steering.sockets, as: "web") {
        try await met { $0.destinations[web]?.misses == 2 }
    }.logging(to: logger)
    service.add(try await bootstrap(group.next()).bind(host: "127.0.0.1", port: 0).get())
    let reporter = SteeringReporter(steering, every: .milliseconds(20), to: metrics).logging(to: logger)
    let change = Task {
        try await met { $0.refused == 2 }
        // Only what a report has seen is in the log.
        while metrics.counterTotal(label: "steering_refused_total") < 2 { try await Task.sleep(for: .milliseconds(10)) }
        try steering.bind("web", .tcp, to: pool, ports: [83])
    }
    try await ServiceGroup(
        services: [reporter, service], gracefulShutdownSignals: [.sigterm], logger: Logger(label: "group")
    ).run()
    try await change.value
    // It goes on trying, and says so once.
    steering.detach()
    let failing = Task { try await reporter.run() }
    try await Task.sleep(for: .milliseconds(200))
    failing.cancel()
    try await failing.value
    let counters = metrics.counters.map { "\($0.label) \($0.dimensions.map(\.1)) \($0.totalValue)" }
    let gauges = metrics.recorders.map {
        "\($0.label) \($0.dimensions.map(\.1)) \($0.values.max()!), then \($0.values.last!)"
    }
    for line in (counters + gauges).sorted() { say(line) }
    say("ended")

case "echo":
    let port = UInt16(CommandLine.arguments[2])!
    let plain = try await DatagramBootstrap(group: group.next()).channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(PlainEcho()) }
    }.bind(host: "127.0.0.1", port: Int(port)).get()
    let steered = try await DatagramBootstrap(group: group.next()).channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandlers(SteeredDatagramHandler(), SteeredEcho())
        }
    }.bind(host: "127.0.0.1", port: 0).get()
    try await steering.sockets.register(steered, as: "echo")
    try steering.bind("echo", .udp, to: try PrefixPool("127.0.0.1/32"), ports: [PortRange(port + 1)])
    let dispatched = try await DatagramBootstrap(group: group.next()).channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
            let handler = SteeredDatagramHandler(waitsByDispatch: true)
            try channel.pipeline.syncOperations.addHandlers(handler, SteeredEcho())
        }
    }.bind(host: "127.0.0.1", port: 0).get()
    try await steering.sockets.register(dispatched, as: "by-dispatch")
    try steering.bind("by-dispatch", .udp, to: try PrefixPool("127.0.0.1/32"), ports: [PortRange(port + 2)])
    say("answering")
    for channel in [plain, steered] { try await channel.closeFuture.get() }

case "cycles":
    // Without the timers of Dispatch, which opens one for each clock when something first waits by it.
    func descriptors() -> Int {
        let files = FileManager.default, folder = "/proc/self/fd"
        let targets = (files.subpaths(atPath: folder) ?? []).map {
            try? files.destinationOfSymbolicLink(atPath: "\(folder)/\($0)")
        }
        return targets.count { $0 != "anon_inode:[timerfd]" }
    }
    let client = try await DatagramBootstrap(group: group).bind(host: "127.0.0.1", port: 0).get()
    var before = 0
    for cycle in 0..<1000 {
        // What is made once is there after a few.
        if cycle == 50 { before = descriptors() }
        precondition(cycle < 50 || before > 8, "the descriptors are not to be seen")
        let channel = try await DatagramBootstrap(group: group).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(
                    SteeredDatagramHandler(waitsByDispatch: cycle % 2 == 0))
            }
        }.channelOption(.autoRead, value: cycle % 4 != 3).bind(host: "127.0.0.1", port: 0).get()
        for _ in 0..<cycle % 3 {
            let ping = AddressedEnvelope(remoteAddress: channel.localAddress!, data: ByteBuffer(string: "ping"))
            try await client.writeAndFlush(ping).get()
        }
        try await channel.close().get()
    }
    // Dispatch lets go of the last a little later.
    for _ in 0..<100 where descriptors() > before { try await Task.sleep(for: .milliseconds(20)) }
    // At once: the client's commands begin with the second.
    say("descriptors \(descriptors() <= before ? "as before" : "from \(before) to \(descriptors())")\nanswering")

case "async":
    var servers: [NIOAsyncChannel<NIOAsyncChannel<ByteBuffer, ByteBuffer>, Never>] = []
    var receivers: [NIOAsyncChannel<SteeredDatagram, SteeredDatagram>] = []
    for host in ["127.0.0.1", "::1"] {
        let server = try await ServerBootstrap(group: group).bind(host: host, port: 0) { channel in
            channel.eventLoop.makeCompletedFuture {
                try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
            }
        }
        let receiver = try await DatagramBootstrap(group: group).bind(host: host, port: 0) { channel in
            channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel(steeredDatagramsOf: channel) }
        }
        try await steering.sockets.register(server, as: "echo")
        try await steering.sockets.register(receiver, as: "echo")
        servers.append(server)
        receivers.append(receiver)
    }
    try steering.bind("echo", .both, to: pool, ports: .all)
    say("answering")
    try await withThrowingDiscardingTaskGroup { tasks in
        for receiver in receivers {
            tasks.addTask {
                try await receiver.executeThenClose { inbound, outbound in
                    for try await datagram in inbound { try await outbound.write(datagram) }
                }
            }
        }
        for server in servers {
            tasks.addTask {
                try await withThrowingDiscardingTaskGroup { connections in
                    try await server.executeThenClose { accepted in
                        for try await connection in accepted { connections.addTask { try? await echo(connection) } }
                    }
                }
            }
        }
    }

default: fatalError("no such mode")
}
withExtendedLifetime(steering) {}
