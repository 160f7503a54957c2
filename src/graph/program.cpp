#include "src/graph/describe_launch.h"
#include "src/graph/find_bad.h"
#include "src/graph/passes.h"
#include "src/graph/plan.h"

#include <ganforge/error.h>
#include <ganforge/program.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>

namespace ganforge {

struct Program::Impl {
  struct Launch {
    std::function<void(Stream&, std::span<const Call>)> run;  // empty: a copy
    std::vector<Call> calls;
    void* to = nullptr;
    const void* from = nullptr;
    std::size_t bytes = 0;
  };
  struct Port {
    Type type;
    void* memory;
  };

  explicit Impl(Device& d) : device(&d) {}

  void execute(const std::vector<Launch>& list) {
    for (const Launch& launch : list) {
      if (launch.run)
        launch.run(device->stream(), launch.calls);
      else
        device->copy(launch.to, launch.from, launch.bytes);
    }
  }

  Device* device;
  std::shared_ptr<Buffer> arena;
  Buffer own;
  std::vector<std::vector<void*>> pointers;  // what the calls' spans point to
  std::vector<std::shared_ptr<const void>> kernel_plans;
  std::vector<Launch> launches;
  std::vector<Feed*> feeds;
  std::vector<Variable*> assigned;
  std::map<std::string, Port> inputs, outputs;
  std::vector<Traced> traced;  // unplanned programs alone
  std::unique_ptr<Captured> captured;
  ProgramReport report;
};

/// Compiles one graph: construct, then bind() once the shared arena exists.
class Compiler {
 public:
  Compiler(Device& device, const Graph& graph, const CompileOptions& options)
      : device_(device), options_(options), graph_(lower(graph, device)), schedule_(schedule_nodes(*graph_, device)) {
    for (const Graph::Node& node : graph_->nodes())
      if (node.variable) variable_number(node.variable);
    for (const auto& [variable, value] : graph_->assigns()) variable_number(variable);
    number_values();
    describe_steps();
    plan_ = make_plan(problem_, !options.unplanned);
  }

  std::size_t arena_bytes() const { return plan_.arena_bytes; }

  Program bind(std::shared_ptr<Buffer> arena) {
    impl_ = std::make_unique<Program::Impl>(device_);
    impl_->arena = std::move(arena);
    allocate_own();
    std::vector<Program::Impl::Launch> once;
    std::size_t next_copy = 0;
    for (int s = 0; s <= static_cast<int>(schedule_.size()); ++s) {
      for (; next_copy < plan_.copies.size() && plan_.copies[next_copy].step == s; ++next_copy)
        add_copy(plan_.copies[next_copy]);
      if (s < static_cast<int>(schedule_.size()) && schedule_[static_cast<std::size_t>(s)][0].kernel.run)
        add_launch(static_cast<std::size_t>(s), impl_->launches);
    }
    for (std::size_t s = 0; s < once_.size(); ++s) add_once(once_[s], once);
    impl_->execute(once);
    device_.synchronize();
    for (const auto& [name, value] : graph_->inputs()) impl_->inputs[name] = {value.type(), address(value)};
    for (const auto& [name, value] : graph_->outputs()) impl_->outputs[name] = {value.type(), address(value)};
    for (const Variable* variable : variables_)
      if (variable->feed) impl_->feeds.push_back(variable->feed.get());
    for (const auto& [variable, value] : graph_->assigns()) impl_->assigned.push_back(variable);
    if (options_.unplanned) trace();
    fill_report();
    if (device_.is_cuda() && options_.capture) capture();
    return Program(std::move(impl_));
  }

 private:
  using Launch = Program::Impl::Launch;

  int value_number(const Value& value) const {
    return first_value_[static_cast<std::size_t>(value.node())] + value.output();
  }

  void number_values() {
    for (const Graph::Node& node : graph_->nodes()) {
      first_value_.push_back(static_cast<int>(problem_.values.size()));
      for (const Type& type : node.out) {
        PlanProblem::Value value;
        value.bytes = type.bytes();
        if (node.variable) {
          value.origin = PlanProblem::Origin::variable;
          value.variable = variable_number(node.variable);
        } else if (node.is_input || node.op->once()) {
          value.origin = PlanProblem::Origin::own;
        }
        problem_.values.push_back(value);
      }
    }
    for (const Variable* variable : variables_) problem_.variable_bytes.push_back(variable->type.bytes());
  }

  int variable_number(Variable* variable) {
    const auto found = std::ranges::find(variables_, variable);
    if (found == variables_.end()) {
      variables_.push_back(variable);
      return static_cast<int>(variables_.size()) - 1;
    }
    return static_cast<int>(found - variables_.begin());
  }

  void describe_steps() {
    for (int n = 0; n < static_cast<int>(graph_->nodes().size()); ++n) {
      const Graph::Node& node = graph_->node(n);
      if (node.variable || node.is_input) continue;
      if (const auto view = node.op->view(input_types(*graph_, n)))
        problem_.views.push_back({first_value_[static_cast<std::size_t>(n)],
                                  value_number(node.in[static_cast<std::size_t>(view->input)]), view->offset});
    }
    // Constants are computed when the program is bound.
    std::vector<std::vector<Scheduled>> steps;
    for (std::vector<Scheduled>& group : schedule_) {
      if (graph_->node(group[0].node).op->once())
        for (Scheduled& member : group) once_.push_back(std::move(member));
      else
        steps.push_back(std::move(group));
    }
    schedule_ = std::move(steps);
    for (const std::vector<Scheduled>& group : schedule_) problem_.steps.push_back(describe_step(group));
    for (const auto& [variable, value] : graph_->assigns())
      problem_.assigns.emplace_back(variable_number(variable), value_number(value));
    for (const auto& [name, value] : graph_->outputs()) problem_.outputs.push_back(value_number(value));
  }

  PlanProblem::Step describe_step(const std::vector<Scheduled>& group) const {
    PlanProblem::Step step;
    for (const Scheduled& member : group) {
      const Graph::Node& node = graph_->node(member.node);
      for (const Value& value : node.in) step.reads.push_back(value_number(value));
      for (int o = 0; o < static_cast<int>(node.out.size()); ++o) {
        const int output = first_value_[static_cast<std::size_t>(member.node)] + o;
        step.writes.push_back(output);
        const int input = node.op->in_place(o);
        if (input >= 0) step.in_place.push_back({output, value_number(node.in[static_cast<std::size_t>(input)])});
      }
      step.workspace += align_up(member.kernel.workspace);
      if (!member.kernel.run) {
        step.pieces = node.op->pieces(input_types(*graph_, member.node));
        step.gaps = node.op->gaps();
      }
    }
    return step;
  }

  void allocate_own() {
    std::size_t bytes = 0;
    for (std::size_t piece : plan_.own_bytes) {
      own_offset_.push_back(bytes);
      bytes += align_up(piece);
    }
    persistent_at_ = bytes;
    for (const auto& group : schedule_)
      for (const Scheduled& member : group) bytes += align_up(member.kernel.persistent);
    for (const Scheduled& member : once_)
      bytes += align_up(std::max(member.kernel.persistent, member.kernel.workspace));
    impl_->own = device_.allocate(bytes);
  }

  void* address(const Place& place) const {
    switch (place.memory) {
      case Place::Memory::arena:
        return static_cast<char*>(impl_->arena->data()) + place.offset;
      case Place::Memory::variable:
        return static_cast<char*>(variables_[static_cast<std::size_t>(place.index)]->data()) + place.offset;
      case Place::Memory::own:
        return static_cast<char*>(impl_->own.data()) + own_offset_[static_cast<std::size_t>(place.index)] +
               place.offset;
    }
    return nullptr;
  }
  void* address(const Value& value) const {
    return address(plan_.places[static_cast<std::size_t>(value_number(value))]);
  }

  void* take_own(std::size_t bytes) {
    if (bytes == 0) return nullptr;
    void* memory = static_cast<char*>(impl_->own.data()) + persistent_at_;
    persistent_at_ += align_up(bytes);
    return memory;
  }

  Call make_call(const Scheduled& member, void* workspace) {
    const Graph::Node& node = graph_->node(member.node);
    std::vector<void*>& in = impl_->pointers.emplace_back();
    for (const Value& value : node.in) in.push_back(address(value));
    std::vector<void*>& out = impl_->pointers.emplace_back();
    for (int o = 0; o < static_cast<int>(node.out.size()); ++o) out.push_back(address(Value(*graph_, member.node, o)));
    impl_->kernel_plans.push_back(member.kernel.plan);
    // The vectors' heap memory stays where it is when `pointers` grows.
    return {member.kernel.plan.get(), impl_->pointers[impl_->pointers.size() - 2], impl_->pointers.back(), workspace,
            take_own(member.kernel.persistent)};
  }

  void add_launch(std::size_t step, std::vector<Launch>& launches) {
    const std::vector<Scheduled>& group = schedule_[step];
    Launch& launch = launches.emplace_back();
    launch.run = group[0].kernel.run;
    std::size_t workspace = plan_.workspaces[step];
    for (const Scheduled& member : group) {
      launch.calls.push_back(make_call(member, static_cast<char*>(impl_->arena->data()) + workspace));
      workspace += align_up(member.kernel.workspace);
    }
    impl_->report.launches.push_back(describe_launch(*graph_, group));
  }

  void add_once(const Scheduled& member, std::vector<Launch>& launches) {
    Launch& launch = launches.emplace_back();
    launch.run = member.kernel.run;
    launch.calls.push_back(make_call(member, take_own(member.kernel.workspace)));
  }

  void add_copy(const Plan::Copy& copy) {
    const std::size_t bytes = problem_.values[static_cast<std::size_t>(copy.value)].bytes;
    Launch& launch = impl_->launches.emplace_back();
    launch.to = address(copy.to);
    launch.from = address(plan_.places[static_cast<std::size_t>(copy.value)]);
    launch.bytes = bytes;
    const auto node = std::ranges::upper_bound(first_value_, copy.value) - first_value_.begin() - 1;
    const Graph::Node& source = graph_->node(static_cast<int>(node));
    impl_->report.copies.push_back(fmt::format(
        "{} bytes: {}{}{} → {}", bytes, source.scope, source.scope.empty() ? "" : ": ", source.op->describe(),
        copy.step == static_cast<int>(schedule_.size()) ? variables_[static_cast<std::size_t>(copy.to.index)]->name
                                                        : std::string("concat")));
  }

  void trace() {
    for (int n = 0; n < static_cast<int>(graph_->nodes().size()); ++n) {
      const Graph::Node& node = graph_->node(n);
      if (node.op && node.op->once()) continue;
      for (int o = 0; o < static_cast<int>(node.out.size()); ++o) {
        const Value value(*graph_, n, o);
        if (!is_float(value.type().dtype)) continue;
        // A view of a variable shows what the run has left there.
        const Place& place = plan_.places[static_cast<std::size_t>(value_number(value))];
        if (!node.variable && place.memory == Place::Memory::variable) continue;
        BadValue name;
        name.type = value.type();
        if (node.variable)
          name.variable = node.variable->name;
        else
          name.op = node.is_input ? "input" : node.op->describe(), name.scope = node.scope;
        impl_->traced.push_back({name, address(place)});
      }
    }
  }

  void fill_report() {
    impl_->report.arena_bytes = impl_->arena->bytes();
    impl_->report.own_bytes = impl_->own.bytes();
    impl_->report.peak_live_bytes = plan_.peak_live_bytes;
  }

  /// Runs the program once, so that libraries are loaded and faults show here, puts the variables back, and records it.
  void capture() {
    std::vector<std::pair<Variable*, Buffer>> saved;
    for (const auto& [variable, value] : graph_->assigns()) {
      saved.emplace_back(variable, device_.allocate(variable->type.bytes()));
      device_.copy(saved.back().second.data(), variable->data(), variable->type.bytes());
    }
    impl_->execute(impl_->launches);
    for (const auto& [variable, buffer] : saved) device_.copy(variable->data(), buffer.data(), variable->type.bytes());
    device_.synchronize();
    Program::Impl* impl = impl_.get();
    impl_->captured = device_.capture([impl] { impl->execute(impl->launches); });
  }

  Device& device_;
  CompileOptions options_;
  std::unique_ptr<Graph> graph_;
  std::vector<std::vector<Scheduled>> schedule_;
  std::vector<Scheduled> once_;
  std::vector<Variable*> variables_;
  std::vector<int> first_value_;  // per node: the number of its output 0
  PlanProblem problem_;
  Plan plan_;
  std::unique_ptr<Program::Impl> impl_;
  std::vector<std::size_t> own_offset_;
  std::size_t persistent_at_ = 0;
};

std::vector<Program> compile(Device& device, std::span<Graph* const> graphs, const CompileOptions& options) {
  std::vector<Compiler> compilers;
  compilers.reserve(graphs.size());
  std::size_t bytes = 0;
  for (const Graph* graph : graphs) {
    compilers.emplace_back(device, *graph, options);
    bytes = std::max(bytes, compilers.back().arena_bytes());
  }
  const auto arena = std::make_shared<Buffer>(device.allocate(bytes));
  std::vector<Program> programs;
  for (Compiler& compiler : compilers) programs.push_back(compiler.bind(arena));
  return programs;
}

Program compile(Device& device, Graph& graph, const CompileOptions& options) {
  Graph* const graphs[] = {&graph};
  return std::move(compile(device, graphs, options)[0]);
}

Program::Program(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Program::Program(Program&&) noexcept = default;
Program& Program::operator=(Program&&) noexcept = default;
Program::~Program() = default;

void Program::run() {
  for (Feed* feed : impl_->feeds) feed->before_run();
  if (impl_->captured)
    impl_->captured->launch();
  else
    impl_->execute(impl_->launches);
  for (Variable* variable : impl_->assigned) ++variable->times_written;
  for (Feed* feed : impl_->feeds) feed->after_run();
}

std::optional<BadValue> Program::find_bad_value() {
  if (impl_->traced.empty()) throw Error("find_bad_value: the program was not compiled with CompileOptions::unplanned");
  if (const auto before = find_bad(*impl_->device, impl_->traced, true)) return before;
  run();
  return find_bad(*impl_->device, impl_->traced, false);
}

namespace {

template <class Ports>
auto& find_port(Ports& ports, const std::string& name, const char* what) {
  const auto found = ports.find(name);
  if (found != ports.end()) return found->second;
  std::string known;
  for (const auto& [other, port] : ports) known += (known.empty() ? "" : ", ") + other;
  throw Error(fmt::format("the program has no {} '{}'; it has: {}", what, name, known.empty() ? "none" : known));
}

void check_size(const Type& type, const std::string& name, std::size_t bytes) {
  if (type.bytes() != bytes)
    throw ShapeError(fmt::format("'{}' is {} ({} bytes), got {} bytes", name, type.str(), type.bytes(), bytes));
}

}  // namespace

void Program::upload(const std::string& input, const void* values, std::size_t bytes) {
  Impl::Port& port = find_port(impl_->inputs, input, "input");
  check_size(port.type, input, bytes);
  impl_->device->upload(port.memory, values, bytes);
}

void Program::download(const std::string& output, void* values, std::size_t bytes) {
  Impl::Port& port = find_port(impl_->outputs, output, "output");
  check_size(port.type, output, bytes);
  impl_->device->download(values, port.memory, bytes);
}

std::vector<float> Program::floats(const std::string& output) {
  const Type& type = output_type(output);
  if (type.dtype != DType::float32) throw ShapeError(fmt::format("output '{}' is {}, not float32", output, type.str()));
  std::vector<float> values(static_cast<std::size_t>(type.shape.elements()));
  download(output, values.data(), values.size() * sizeof(float));
  return values;
}

const Type& Program::output_type(const std::string& output) const {
  return find_port(impl_->outputs, output, "output").type;
}
const ProgramReport& Program::report() const {
  return impl_->report;
}
int Program::launches() const {
  return static_cast<int>(impl_->launches.size());
}

}  // namespace ganforge
