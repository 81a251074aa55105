/* Preloaded, it lets a program believe that it runs on another x86-64 processor: one with AVX2 and FMA but without
   AVX-512 and AMX, with smaller caches, and of the maker that SEAMARK_PROCESSOR names (intel or amd). The kernel makes
   CPUID trap, which not every machine can; the program then ends at once with status 77. glibc, which asks before, is
   not deceived. */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <cpuid.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { EAX, EBX, ECX, EDX };
static const uint32_t cache_bytes[] = {32 << 10, 32 << 10, 256 << 10, 8 << 20}; /* data, code, second, third level */
static int amd;

static void describe_cache(uint32_t number, uint32_t *found) {
  static const uint32_t kind[] = {1, 2, 3, 3}, level[] = {1, 1, 2, 3};
  memset(found, 0, 4 * sizeof *found);
  if (number > 3) return;
  found[EAX] = kind[number] | level[number] << 5 | 1 << 8;
  found[EBX] = (8 - 1) << 22 | 63; /* 8 ways, lines of 64 bytes */
  found[ECX] = cache_bytes[number] / (8 * 64) - 1;
}

static void answer(uint32_t leaf, uint32_t part, uint32_t *found) {
  __cpuid_count(leaf, part, found[EAX], found[EBX], found[ECX], found[EDX]);
  if (leaf == 7 && part == 0) {
    found[EAX] = 0;
    found[EBX] &= ~(1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31);
    found[ECX] &= ~(1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14);
    found[EDX] &= ~(1u << 2 | 1u << 3 | 1u << 8 | 1u << 22 | 1u << 23 | 1u << 24 | 1u << 25);
  }
  if (leaf == 7 && part > 0) memset(found, 0, 4 * sizeof *found);
  if (leaf == 4 && !amd) describe_cache(part, found);
  if (!amd) return;
  if (leaf == 0 || leaf == 0x80000000) { /* AuthenticAMD */
    found[EAX] = leaf ? 0x80000020 : 0x10;
    found[EBX] = 0x68747541, found[EDX] = 0x69746e65, found[ECX] = 0x444d4163;
  }
  if (leaf == 1) found[EAX] = 0x00a20f10; /* family 0x19, Zen 3 */
  if (leaf == 2 || leaf == 4) memset(found, 0, 4 * sizeof *found);
  if (leaf == 0x80000001) found[ECX] |= 1u << 22; /* leaf 0x8000001d is there */
  if (leaf == 0x8000001d) describe_cache(part, found);
}

static void on_trap(int signal_number, siginfo_t *info, void *context) {
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  const uint8_t *instruction = (const uint8_t *)registers[REG_RIP];
  uint32_t found[4];
  (void)info;
  if (instruction[0] != 0x0f || instruction[1] != 0xa2) { /* no CPUID: a fault of the program's own */
    signal(signal_number, SIG_DFL);
    return;
  }
  syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
  answer((uint32_t)registers[REG_RAX], (uint32_t)registers[REG_RCX], found);
  syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
  registers[REG_RAX] = found[EAX], registers[REG_RBX] = found[EBX];
  registers[REG_RCX] = found[ECX], registers[REG_RDX] = found[EDX];
  registers[REG_RIP] += 2;
}

__attribute__((constructor)) static void deceive(void) {
  const char *maker = getenv("SEAMARK_PROCESSOR");
  struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_NODEFER};
  if (!maker) return;
  amd = !strcmp(maker, "amd");
  sigaction(SIGSEGV, &action, NULL);
  if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0)) _exit(77);
}
