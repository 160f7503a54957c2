// ganforge_ladder: kernels from the plain loop to the product's own, and peers' designs beside them. bench/README.md.
#include "bench/cuda_timer.h"
#include "bench/ladder/subjects.h"

#include <ganforge/error.h>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace ganforge::ladder {
namespace {

constexpr std::string_view usage =
    "usage: ganforge_ladder [--filter=TEXT] [--check] [--small]\n"
    "       --filter  rungs with TEXT in their names, problem and rung: --filter=linear/\n"
    "       --check   runs each rung once and compares it with the CPU, without timing\n"
    "       --small   sizes of a few tiles\n"
    "       and the flags of Google Benchmark\n";

struct Arguments {
  std::string filter;
  bool check = false, small = false;
};

Arguments parse(std::vector<char*>& argv) {
  Arguments a;
  std::vector<char*> rest;
  for (char* const each : argv) {
    const std::string_view argument = each;
    if (argument.starts_with("--filter="))
      a.filter = argument.substr(9);
    else if (argument == "--check")
      a.check = true;
    else if (argument == "--small")
      a.small = true;
    else
      rest.push_back(each);
    if (argument == "--help") fmt::print("{}", usage);
  }
  argv = rest;
  return a;
}

/// The largest error of an output, as a part of its largest value.
double error_of(Device& device, const Output& output) {
  std::vector<float> got(output.want.size());
  device.download(got.data(), output.values, got.size() * sizeof(float));
  double error = 0, largest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double d = std::abs(static_cast<double>(got[i]) - output.want[i]);
    if (!(d <= error)) error = std::isnan(d) ? INFINITY : d;
    largest = std::max(largest, std::abs(static_cast<double>(output.want[i])));
  }
  return largest > 0 ? error / largest : error;
}

/// A rung captured, so that its launches are one graph, run and compared.
std::unique_ptr<Captured> checked(Device& device, const Subject& subject, const Rung& rung) {
  for (const Output& output : rung.outputs) device.clear(const_cast<float*>(output.values), output.want.size() * 4);
  subject.reset();
  auto captured = device.capture(rung.run);
  captured->launch();
  device.synchronize();
  double worst = 0;
  for (const Output& output : rung.outputs) worst = std::max(worst, error_of(device, output));
  if (!(worst <= rung.tolerance))
    throw Error(fmt::format("{}/{}: off by {:.1e} of the largest value, {:.0e} is allowed", subject.name, rung.name,
                            worst, rung.tolerance));
  fmt::print("{}\t{}\t{:.0f}\t{:.0f}\t{:.1e}\n", subject.name, rung.name, subject.flops, subject.bytes, worst);
  return captured;
}

/// Runs a rung by the card's own clock; its operands come from memory.
void time(benchmark::State& state, bench::CudaTimer& timer, const Subject& subject, Captured& captured) {
  const auto run = [&] { captured.launch(); };
  const int group = static_cast<int>(std::clamp(1e-3 / timer.seconds(1, run), 1.0, 50.0));
  double sum = 0;
  while (state.KeepRunningBatch(group)) {
    const double seconds = timer.seconds(group, run);
    state.SetIterationTime(seconds);
    sum += seconds;
  }
  const double each = sum / static_cast<double>(state.iterations());
  state.counters["GFLOP/s"] = subject.flops / each * 1e-9;
  state.counters["GB/s"] = subject.bytes / each * 1e-9;
}

void run(int argc, char** argv) {
  std::vector<char*> flags(argv, argv + argc);
  const Arguments a = parse(flags);
  std::string tabular = "--benchmark_counters_tabular=true", brief = "--benchmark_min_time=0.02";
  flags.insert(flags.begin() + 1, {tabular.data(), brief.data()});
  int count = static_cast<int>(flags.size());
  flags.push_back(nullptr);
  benchmark::Initialize(&count, flags.data());
  if (count > 1) throw Error(fmt::format("unknown flag {}; --help lists them", flags[1]));

  Device device = Device::cuda(), cpu = Device::cpu();
  bench::CudaTimer timer(device);
  benchmark::AddCustomContext("device", device.name());
  // What is timed is made when its turn comes, and only one problem is kept.
  std::unique_ptr<Subject> subject;
  bool any = false;
  for (const Recipe& recipe : recipes(a.small)) {
    std::unique_ptr<Subject> made = recipe.make(device, cpu);
    made->name = recipe.name;
    std::vector<std::string> names;
    for (const Rung& rung : made->rungs) names.push_back(rung.name);
    for (std::size_t i = 0; i < names.size(); ++i) {
      const std::string name = recipe.name + "/" + names[i];
      if (name.find(a.filter) == std::string::npos) continue;
      any = true;
      checked(device, *made, made->rungs[i]);
      benchmark::RegisterBenchmark(name.c_str(),
                                   [&, recipe, i](benchmark::State& state) {
                                     if (!subject || subject->name != recipe.name) {
                                       subject.reset();
                                       subject = recipe.make(device, cpu);
                                       subject->name = recipe.name;
                                     }
                                     time(state, timer, *subject, *device.capture(subject->rungs[i].run));
                                   })
          ->Unit(benchmark::kMicrosecond)
          ->UseManualTime();
    }
  }
  if (!any) throw Error(fmt::format("--filter: no rung has '{}' in its name", a.filter));
  if (!a.check) benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}

}  // namespace
}  // namespace ganforge::ladder

int main(int argc, char** argv) {
  try {
    ganforge::ladder::run(argc, argv);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "ganforge_ladder: {}\n", error.what());
    return 1;
  }
}
