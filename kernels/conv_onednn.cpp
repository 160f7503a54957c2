// Convolution by oneDNN, each part of the batch on the thread that asks for it.
//
// The batch is cut into parts, the same whatever the number of threads. A part has its own memory objects and its own
// piece of the workspace; the primitives are shared, and keep nothing between runs: their scratchpads are in the
// workspace too. Filters are reordered from and to the project's layout. The parts' weight gradients are added in the
// order of the parts.
#include "kernels/conv_algorithms.h"
#include "kernels/conv_epilogue.h"
#include "kernels/team.h"

#include <oneapi/dnnl/dnnl.hpp>

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

namespace ganforge {
namespace {

using Dims = dnnl::memory::dims;
using Desc = dnnl::memory::desc;
constexpr auto f32 = dnnl::memory::data_type::f32;
constexpr std::int64_t most_parts = 16;
constexpr std::int64_t filters_at_once = 64;    // of a reorder: whole blocks of every blocked layout
constexpr std::int64_t floats_at_once = 16384;  // of a sum of weight gradients

/// Parts of the batch. Every part reads all filters, and makes a weight gradient of its own: fewer where those are
/// large.
std::int64_t parts_of(ConvDirection direction, const ConvShape& c) {
  std::int64_t parts = most_parts;
  if (direction == ConvDirection::weight) parts /= 2;
  if (c.w_size() > (1 << 18)) parts /= 2;
  return std::min(c.n, parts);
}

/// Whether to reorder images into oneDNN's favourite layout. Measured with the reorders, it is worth it (7 to 25 %) for
/// weight gradients of many channels alone; elsewhere it loses 5 to 30 %.
bool blocked_images(ConvDirection direction, const ConvShape& c) {
  return direction == ConvDirection::weight && c.c / c.groups >= 32 && c.k / c.groups >= 32;
}

enum class Base { x, w, y, out, workspace };

/// A memory object and where its bytes are in a run.
class Operand {
 public:
  Operand(const dnnl::engine& engine, const Desc& desc, Base base, std::size_t offset)
      : memory_(desc, engine, nullptr), base_(base), offset_(offset) {}

  dnnl_memory_t get() const { return memory_.get(); }

  void locate(const ConvArgs& a) const {
    const void* const bases[] = {a.x, a.w, a.y, a.out, a.workspace};
    void* address = const_cast<char*>(static_cast<const char*>(bases[static_cast<int>(base_)]) + offset_);
    // Setting a handle clears the padding of blocked layouts, which every writer does anyway.
    if (memory_.get_data_handle() != address) memory_.set_data_handle(address);
  }

 private:
  dnnl::memory memory_;
  Base base_;
  std::size_t offset_;  // bytes
};

/// One execution of a primitive: everything is fixed but the addresses.
class Step {
 public:
  using Operands = std::vector<std::pair<int, Operand>>;

  Step(dnnl::primitive primitive, dnnl::stream stream, Operands operands)
      : primitive_(std::move(primitive)), stream_(std::move(stream)), operands_(std::move(operands)) {
    for (const auto& [name, operand] : operands_) args_.push_back({name, operand.get()});
  }

  void run(const ConvArgs& a) const {
    for (const auto& [name, operand] : operands_) operand.locate(a);
    dnnl::error::wrap_c_api(
        dnnl_primitive_execute(primitive_.get(), stream_.get(), static_cast<int>(args_.size()), args_.data()),
        "oneDNN could not execute a convolution");
  }

 private:
  dnnl::primitive primitive_;
  dnnl::stream stream_;
  Operands operands_;
  std::vector<dnnl_exec_arg_t> args_;
};

using Steps = std::vector<Step>;

void run(const Steps& steps, const ConvArgs& a) {
  const OpenMpOff on_this_thread;
  for (const Step& step : steps) step.run(a);
}

struct Prepared {
  std::vector<Steps> parts, filters;                   // filters: reorders of some filters each
  std::vector<std::int64_t> begin;                     // the first image of each part, and N
  std::size_t sum = 0, sum_stride = 0, sum_bytes = 0;  // weight: where the parts' results are
  std::size_t workspace = 0;                           // all in bytes
};

class Builder {
 public:
  Builder(ConvDirection direction, const ConvShape& shape)
      : direction_(direction),
        c_(shape),
        blocked_(blocked_images(direction, shape)),
        engine_(dnnl::engine::kind::cpu, 0),
        stream_(engine_) {}

  Prepared build() {
    const std::int64_t parts = parts_of(direction_, c_);
    for (std::int64_t part = 0; part <= parts; ++part) result_.begin.push_back(c_.n * part / parts);
    // The filters' layout is that of the first part.
    filters_ = convolution(result_.begin[1], any(plain_filters())).w;
    reordered_ = filters_ != plain_filters();
    const bool weight = direction_ == ConvDirection::weight;
    if (weight) {
      result_.sum_bytes = filters_.get_size();
      result_.sum_stride = (result_.sum_bytes + 63) / 64 * 64;
      result_.sum = take(result_.sum_stride * static_cast<std::size_t>(parts));
    } else if (reordered_) {
      result_.sum = take(filters_.get_size());
    }
    for (std::int64_t part = 0; part < parts; ++part) add_part(part);
    if (reordered_ || weight) add_filters();
    return std::move(result_);
  }

 private:
  struct Convolution {
    std::int64_t images;
    dnnl::primitive primitive;
    Desc x, w, y, scratchpad;
  };

  std::size_t take(std::size_t bytes) {
    const std::size_t place = result_.workspace;
    result_.workspace += (bytes + 63) / 64 * 64;
    return place;
  }
  static dnnl::primitive_attr attributes() {
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    return attr;
  }

  /// [n, h, w, c] in memory, [n, c, h, w] in oneDNN's order of axes.
  static Desc images(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c) {
    return {{n, c, h, w}, f32, Dims{h * w * c, 1, w * c, c}};
  }
  Desc plain_filters() const {
    const std::int64_t g = c_.groups, in = c_.c / g, out = c_.k / g, row = c_.s * in, filter = c_.r * row;
    if (g == 1) return {{out, in, c_.r, c_.s}, f32, Dims{filter, 1, row, in}};
    return {{g, out, in, c_.r, c_.s}, f32, Dims{out * filter, filter, 1, row, in}};
  }
  static Desc any(const Desc& desc) { return {desc.dims(), f32, dnnl::memory::format_tag::any}; }

  /// The convolution of n images. Throws where oneDNN has none, or only plain loops.
  Convolution convolution(std::int64_t n, const Desc& w) {
    for (const Convolution& made : made_) {
      if (made.images == n) return made;
    }
    const Desc x_plain = images(n, c_.h, c_.w, c_.c), y_plain = images(n, c_.p, c_.q, c_.k);
    const Desc x = blocked_ ? any(x_plain) : x_plain, y = blocked_ ? any(y_plain) : y_plain;
    const Dims strides = {c_.stride_h, c_.stride_w}, dilations = {c_.dilation_h - 1, c_.dilation_w - 1};
    const Dims low = {c_.pad_top, c_.pad_left};
    const Dims high = {(c_.p - 1) * c_.stride_h + (c_.r - 1) * c_.dilation_h + 1 - c_.h - c_.pad_top,
                       (c_.q - 1) * c_.stride_w + (c_.s - 1) * c_.dilation_w + 1 - c_.w - c_.pad_left};
    constexpr auto algorithm = dnnl::algorithm::convolution_direct;
    const dnnl::convolution_forward::primitive_desc forward(
        {dnnl::prop_kind::forward_training, algorithm, x, w, y, strides, dilations, low, high}, attributes(), engine_);
    Convolution result{.images = n, .primitive = {}, .x = {}, .w = {}, .y = {}, .scratchpad = {}};
    const auto keep = [&]<class P>(P, const auto& desc, const Desc& xd, const Desc& wd, const Desc& yd) {
      if (std::string_view(desc.impl_info_str()).find("ref") != std::string_view::npos)
        throw dnnl::error(dnnl_unimplemented, "only plain loops");
      result = {n, P(desc), xd, wd, yd, desc.scratchpad_desc()};
    };
    if (direction_ == ConvDirection::forward) {
      keep(dnnl::convolution_forward(), forward, forward.src_desc(), forward.weights_desc(), forward.dst_desc());
    } else if (direction_ == ConvDirection::input) {
      const dnnl::convolution_backward_data::primitive_desc desc({algorithm, x, w, y, strides, dilations, low, high},
                                                                 attributes(), engine_, forward);
      keep(dnnl::convolution_backward_data(), desc, desc.diff_src_desc(), desc.weights_desc(), desc.diff_dst_desc());
    } else {
      const dnnl::convolution_backward_weights::primitive_desc desc({algorithm, x, w, y, strides, dilations, low, high},
                                                                    attributes(), engine_, forward);
      keep(dnnl::convolution_backward_weights(), desc, desc.src_desc(), desc.diff_weights_desc(), desc.diff_dst_desc());
    }
    made_.push_back(result);
    return result;
  }

  Operand in_workspace(const Desc& desc) { return {engine_, desc, Base::workspace, take(desc.get_size())}; }

  Step reorder(const Desc& from_desc, const Operand& from, const Desc& to_desc, const Operand& to) {
    const dnnl::reorder::primitive_desc desc(engine_, from_desc, engine_, to_desc, attributes());
    return {dnnl::reorder(desc),
            stream_,
            {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}, {DNNL_ARG_SCRATCHPAD, in_workspace(desc.scratchpad_desc())}}};
  }

  void add_part(std::int64_t part) {
    const auto i = static_cast<std::size_t>(part);
    const std::int64_t first = result_.begin[i], n = result_.begin[i + 1] - first;
    const bool input = direction_ == ConvDirection::input, weight = direction_ == ConvDirection::weight;
    const Convolution conv = convolution(n, filters_);
    Steps steps, after;
    // The operand of the images, and the reorder before or after.
    const auto operand = [&](const Desc& plain, const Desc& wanted, Base base, std::int64_t image_size) {
      const auto offset = static_cast<std::size_t>(first * image_size) * sizeof(float);
      const Operand outside(engine_, plain, base, offset);
      if (wanted == plain) return outside;
      const Operand inside = in_workspace(wanted);
      if (base == Base::out) {
        after.push_back(reorder(wanted, inside, plain, outside));
      } else {
        steps.push_back(reorder(plain, outside, wanted, inside));
      }
      return inside;
    };
    const std::int64_t x_image = c_.h * c_.w * c_.c, y_image = c_.p * c_.q * c_.k;
    const Operand x = operand(images(n, c_.h, c_.w, c_.c), conv.x, input ? Base::out : Base::x, x_image);
    const Operand y = operand(images(n, c_.p, c_.q, c_.k), conv.y, input || weight ? Base::y : Base::out, y_image);
    const Operand w = weight       ? Operand(engine_, filters_, Base::workspace, result_.sum + i * result_.sum_stride)
                      : reordered_ ? Operand(engine_, filters_, Base::workspace, result_.sum)
                                   : Operand(engine_, filters_, Base::w, 0);
    Step::Operands operands;
    if (weight) {
      operands = {{DNNL_ARG_SRC, x}, {DNNL_ARG_DIFF_WEIGHTS, w}, {DNNL_ARG_DIFF_DST, y}};
    } else if (input) {
      operands = {{DNNL_ARG_DIFF_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DIFF_DST, y}};
    } else {
      operands = {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, y}};
    }
    operands.emplace_back(DNNL_ARG_SCRATCHPAD, in_workspace(conv.scratchpad));
    steps.emplace_back(conv.primitive, stream_, std::move(operands));
    std::move(after.begin(), after.end(), std::back_inserter(steps));
    result_.parts.push_back(std::move(steps));
  }

  /// Between the project's layout and oneDNN's, some filters at a time. Filters in groups are small.
  void add_filters() {
    const bool weight = direction_ == ConvDirection::weight;
    const Desc plain = plain_filters();
    const std::int64_t step = c_.groups == 1 ? filters_at_once : c_.k;
    for (std::int64_t k = 0; k < c_.k; k += step) {
      Dims dims = plain.dims(), offsets(dims.size(), 0);
      if (c_.groups == 1) dims[0] = std::min(step, c_.k - k), offsets[0] = k;
      const Desc from = (weight ? filters_ : plain).submemory_desc(dims, offsets);
      const Desc to = (weight ? plain : filters_).submemory_desc(dims, offsets);
      const Operand inside(engine_, weight ? from : to, Base::workspace, result_.sum);
      const Operand outside(engine_, weight ? to : from, weight ? Base::out : Base::w, 0);
      result_.filters.push_back({reorder(from, weight ? inside : outside, to, weight ? outside : inside)});
    }
  }

  ConvDirection direction_;
  ConvShape c_;
  bool blocked_;
  dnnl::engine engine_;
  dnnl::stream stream_;  // on a CPU without state: the parts share it
  std::vector<Convolution> made_;
  Desc filters_;  // as the primitives want them
  bool reordered_ = false;
  Prepared result_;
};

/// The first part's weight gradient becomes the sum of all.
void add_up(const CpuStream& stream, const Prepared& p, const ConvArgs& a) {
  const auto at = [&](std::size_t part) {
    return reinterpret_cast<float*>(static_cast<char*>(a.workspace) + p.sum + part * p.sum_stride);
  };
  const auto size = static_cast<std::int64_t>(p.sum_bytes / sizeof(float));
  in_parts(stream, (size + floats_at_once - 1) / floats_at_once, [&](std::int64_t chunk) {
    const std::int64_t begin = chunk * floats_at_once, end = std::min(size, begin + floats_at_once);
    float* sum = at(0);
    for (std::size_t part = 1; part < p.parts.size(); ++part) {
      const float* more = at(part);
      for (std::int64_t i = begin; i < end; ++i) sum[i] += more[i];
    }
  });
}

}  // namespace

ConvPlan<CpuStream> plan_conv_onednn(const CpuStream&, ConvDirection direction, const ConvShape& shape,
                                     const ConvEpilogue& epilogue) {
  const bool weight = direction == ConvDirection::weight, input = direction == ConvDirection::input;
  std::shared_ptr<const Prepared> prepared;
  try {
    const OpenMpOff while_primitives_count_threads;
    prepared = std::make_shared<const Prepared>(Builder(direction, shape).build());
  } catch (const dnnl::error&) {
    return {};
  }
  const std::int64_t channels = input ? shape.c : shape.k;
  const std::int64_t pixels = input ? shape.h * shape.w : shape.p * shape.q;
  ConvPlan<CpuStream> plan;
  plan.algorithm = "oneDNN";
  plan.workspace = prepared->workspace;
  plan.run = [=](const CpuStream& stream, const ConvArgs& a) {
    const Prepared& p = *prepared;
    const auto reorder_filters = [&] {
      in_parts(stream, static_cast<std::int64_t>(p.filters.size()),
               [&](std::int64_t i) { run(p.filters[static_cast<std::size_t>(i)], a); });
    };
    if (!weight) reorder_filters();
    in_parts(stream, static_cast<std::int64_t>(p.parts.size()), [&](std::int64_t i) {
      const auto part = static_cast<std::size_t>(i);
      run(p.parts[part], a);
      if (!epilogue) return;
      const std::int64_t first = p.begin[part] * pixels, rows = p.begin[part + 1] * pixels - first;
      conv_epilogue(stream, epilogue, rows, channels, a.bias, a.mask ? a.mask + first * channels : nullptr,
                    a.out + first * channels);
    });
    if (weight) {
      add_up(stream, p, a);
      reorder_filters();
    }
  };
  return plan;
}

}  // namespace ganforge
