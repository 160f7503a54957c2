// Graphs made to run.
#pragma once

#include <ganforge/graph.h>
#include <ganforge/store.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ganforge {

struct CompileOptions {
  /// On CUDA, record each program as one graph. Without, its kernels are launched one by one ("eager"), with the same
  /// result.
  bool capture = true;
  /// Give every value memory of its own and work in place nowhere: the oracle of the memory plan.
  bool unplanned = false;
};

/// A value with an element that is not finite.
struct BadValue {
  std::string variable;   ///< the variable that held it before the run; empty: computed
  std::string op, scope;  ///< else what made it, and for which layer
  Type type;
  std::int64_t element = 0;  ///< the first such
};

/// What a program does in one run, for people.
struct ProgramReport {
  struct Launch {
    std::string op, scope;
    std::string note;                ///< which algorithm, where an op has several
    std::vector<std::string> types;  ///< inputs → outputs
    int nodes = 1;                   ///< nodes that share the launch
    double flops = 0, bytes = 0;
  };
  std::vector<Launch> launches;
  std::vector<std::string> copies;  ///< moves that could not be views
  std::size_t arena_bytes = 0;      ///< shared by the programs compiled together
  std::size_t own_bytes = 0;        ///< constants, inputs, tickets
  std::size_t peak_live_bytes = 0;  ///< lower bound of arena_bytes
};

/// A compiled graph. Its outputs stay valid until a program that was compiled with it runs. The device, and the stores
/// and data sets whose variables the graph reads, must outlive the program; the graph need not.
class Program {
 public:
  Program(Program&&) noexcept;
  Program& operator=(Program&&) noexcept;
  ~Program();

  /// One step. Queued on CUDA: one graph launch, no synchronisation; with a feed (store.h) also what that does.
  /// Allocates nothing.
  void run();

  /// Fills an input; `bytes` must be its size. Throws Error for an unknown name.
  void upload(const std::string& input, const void* values, std::size_t bytes);
  /// Reads an output; waits for the device.
  void download(const std::string& output, void* values, std::size_t bytes);
  std::vector<float> floats(const std::string& output);
  const Type& output_type(const std::string& output) const;

  /// Runs once, and finds the first value, in the order of computation, that has a NaN or an infinity. For programs
  /// compiled with CompileOptions::unplanned; throws Error for others.
  std::optional<BadValue> find_bad_value();

  const ProgramReport& report() const;
  /// Kernels run (CPU) or queued (CUDA) by one run, copies included.
  int launches() const;

 private:
  friend class Compiler;
  struct Impl;
  explicit Program(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Compiles the programs of one way of training into one arena. Throws DeviceError when memory runs out.
/// On CUDA each is run once and the variables are put back before it is captured; after a DeviceError in that run the
/// device is beyond use.
std::vector<Program> compile(Device& device, std::span<Graph* const> graphs, const CompileOptions& options = {});
Program compile(Device& device, Graph& graph, const CompileOptions& options = {});

}  // namespace ganforge
