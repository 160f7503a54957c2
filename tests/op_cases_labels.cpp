// Rows of the table: what labels choose.
#include "tests/op_harness.h"

#include <ganforge/labels.h>

// clang-format off
namespace ganforge::op_test {

std::vector<OpCase> label_op_cases() {
  std::vector<OpCase> rows;
  const auto labels = [](std::int64_t n, int classes) { return i32({n}, 0, classes - 1); };
  const auto hot = [](std::int64_t classes) { return [classes](const Values& in) { return Values{one_hot(in[0], classes)}; }; };
  const auto gather = [](const Values& in) { return Values{gather_rows(in[0], in[1])}; };
  const auto scatter = [](std::int64_t classes) { return [classes](const Values& in) { return Values{scatter_add_rows(in[0], in[1], classes)}; }; };
  const auto entropy = [](const Values& in) { const auto r = cross_entropy(in[0], in[1]); return Values{r.loss, r.accuracy}; };
  rows.insert(rows.end(), {
    {"one_hot", {labels(17, 5)}, hot(5), {.differentiable = false, .bad = {{f32(3)}, {i32({3, 1}, 0, 1)}}}},
    {"one_hot of labels that are none", {i32({9}, -2, 5)}, hot(3), {.differentiable = false}},
  });
  const Options rows_wanted{.kernel = true, .bad = {{f32(3), labels(4, 3)}, {f32(3, 4), f32(3)}, {f32(3, 4), i32({3, 1}, 0, 1)}, {f32(0, 4), labels(3, 1)}, {i32({3, 4}, 0, 1), labels(3, 3)}}};
  for (const auto& [n, classes, width] : {std::tuple{7, 3, 5}, {64, 10, 100}, {1, 1, 1}, {40, 4, 1}, {3, 200, 33}, {300, 2, 70}}) {
    const std::string shape = std::to_string(n) + " of " + std::to_string(classes) + "×" + std::to_string(width);
    rows.push_back({"gather_rows " + shape, {f32(classes, width), labels(n, classes)}, gather, rows_wanted});
    rows.push_back({"scatter_add_rows " + shape, {f32(n, width), labels(n, classes)}, scatter(classes), {.kernel = true, .bad = {{f32(3), labels(3, 2)}, {f32(3, 4), labels(4, 2)}, {f32(3, 4), f32(3)}}}});
  }
  rows.insert(rows.end(), {
    {"gather_rows of labels that are none", {f32(3, 4), i32({11}, -2, 5)}, gather, {.kernel = true}},
    {"scatter_add_rows of labels that are none", {f32(11, 4), i32({11}, -2, 5)}, scatter(3), {.kernel = true}},
    {"gather_rows of no labels", {f32(3, 4), labels(0, 3)}, gather, {.kernel = true}},
    {"gather_rows of a row scaled", {f32(6, 9), labels(13, 6), f32(13, 9)}, [](const Values& in) { return Values{square(gather_rows(in[0], in[1]) * in[2])}; }, {.kernel = true}},
  });
  const Options logits_wanted{.kernel = true, .bad = {{f32(8), labels(8, 2)}, {f32(8, 3), labels(7, 3)}, {f32(8, 3), f32(8)}, {f32(0, 3), labels(0, 3)}, {i32({8, 3}, 0, 1), labels(8, 3)}}};
  for (const auto& [n, classes] : {std::pair{8, 3}, {64, 10}, {128, 10}, {12, 1}, {1, 2}, {18, 70}, {9, 33}, {5, 300}})
    rows.push_back({"cross_entropy " + std::to_string(n) + "×" + std::to_string(classes), {f32(n, classes).in(-4, 4).distinct(), labels(n, classes)}, entropy, logits_wanted});
  rows.insert(rows.end(), {
    {"cross_entropy of equal logits", {f32(6, 5), labels(6, 5)}, [entropy](const Values& in) { return entropy({floor(in[0] * 2.0), in[1]}); }, {.kernel = true, .differentiable = false}},
    {"cross_entropy of large logits", {f32(6, 40).in(-90, 90).distinct(), labels(6, 40)}, entropy, {.kernel = true}},
    {"cross_entropy of labels that are none", {f32(9, 5).distinct(), i32({9}, -1, 6)}, entropy, {.kernel = true}},
    {"gradient of cross_entropy", {f32(10, 7).in(-3, 3).distinct(), labels(10, 7), f32()}, [](const Values& in) { return grad({cross_entropy(in[0], in[1]).loss}, {in[2]}, {in[0]}); }, {.kernel = true}},
  });
  return rows;
}

}  // namespace ganforge::op_test
