// What the ladder is climbed with: problems of a size, and the ways of solving each.
#pragma once

#include <ganforge/device.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ganforge::ladder {

/// What a rung leaves on the device, and what the CPU's kernel made of the same operands.
struct Output {
  const float* values;
  std::vector<float> want;
};

struct Rung {
  std::string name;
  double tolerance;  ///< largest error allowed, as a part of the largest value
  std::function<void()> run;
  std::vector<Output> outputs;
};

/// One problem. Its memory lives as long as it does.
struct Subject {
  std::string name;
  double flops = 0, bytes = 0;  ///< by the definition; operands and results once
  std::vector<Rung> rungs;
  std::function<void()> reset;  ///< puts back what rungs work on in place
  std::vector<Buffer> memory;
};

/// Makes a subject when it is asked for: the large ones take memory.
struct Recipe {
  std::string name;
  std::function<std::unique_ptr<Subject>(Device& device, Device& cpu)> make;
};
/// `small`: sizes at which a check takes seconds under emulation.
std::vector<Recipe> recipes(bool small);

/// Parts of it in files of their own. Without rungs: ours and the peers' alone.
std::unique_ptr<Subject> linear_subject(Device&, Device& cpu, int m, int n, int k);
std::unique_ptr<Subject> linear_gradient_subject(Device&, Device& cpu, int m, int n, int k);
std::unique_ptr<Subject> transposed_subject(Device&, Device& cpu, int n, int h, int w, int in, int out,
                                            bool with_rungs);
std::unique_ptr<Subject> epilogue_subject(Device&, Device& cpu, int rows, int channels);
std::unique_ptr<Subject> batch_norm_subject(Device&, Device& cpu, int n, int pixels, int channels);
std::unique_ptr<Subject> adam_subject(Device&, Device& cpu, const std::vector<int>& tensors);

// --- for those that make them ---

constexpr double fp32_tolerance = 1e-5, tf32_tolerance = 4e-3;

/// Numbers in [low, high) that depend on the seed alone.
std::vector<float> random_floats(std::size_t count, unsigned seed, float low = -1, float high = 1);
/// Memory of the subject: filled, or with bits that are no number, so that what nobody writes shows.
float* on_device(Device& device, Subject& subject, const std::vector<float>& values);
float* unwritten(Device& device, Subject& subject, std::size_t count);

}  // namespace ganforge::ladder
