/* Work shared out over threads that are kept.

   Whoever calls does jobs like everybody else, and waits for the others only while they have one: on a core that somebody
   else keeps busy, a thread that does not come is not missed. */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#define GRAIN (1 << 17) /* multiplications and additions that a thread is worth */
#define PATIENCE 4000   /* looks that a thread takes before it sleeps: some 50 us */

static struct {
  void (*work)(const void *task, long job);
  const void *task;
  long jobs;
  atomic_long next, opened; /* opened: odd while there is work */
  atomic_int seats, inside, asleep;
  int workers;
  pid_t process;
  pthread_mutex_t busy, door;
  pthread_cond_t bell;
} pool = {.busy = PTHREAD_MUTEX_INITIALIZER, .door = PTHREAD_MUTEX_INITIALIZER, .bell = PTHREAD_COND_INITIALIZER};

static void pause_a_moment(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void take_jobs(void) {
  for (long job; (job = atomic_fetch_add(&pool.next, 1)) < pool.jobs;) pool.work(pool.task, job);
}

static void *help(void *nothing) {
  long known = 0;
  for (;;) {
    for (long looks = 0; atomic_load(&pool.opened) == known && looks < PATIENCE; looks++) pause_a_moment();
    if (atomic_load(&pool.opened) == known) {
      pthread_mutex_lock(&pool.door);
      atomic_fetch_add(&pool.asleep, 1);
      while (atomic_load(&pool.opened) == known) pthread_cond_wait(&pool.bell, &pool.door);
      atomic_fetch_sub(&pool.asleep, 1);
      pthread_mutex_unlock(&pool.door);
    }
    atomic_fetch_add(&pool.inside, 1);
    known = atomic_load(&pool.opened);
    if (known % 2 && atomic_fetch_sub(&pool.seats, 1) > 0) take_jobs();
    atomic_fetch_sub(&pool.inside, 1);
  }
  return nothing;
}

/* Start threads until there are so many; a process that was forked has none. */
static void hire(int workers) {
  if (pool.process != getpid()) {
    pool.process = getpid();
    pool.workers = 0;
    atomic_store(&pool.inside, 0);
    atomic_store(&pool.asleep, 0);
    pool.door = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER; /* somebody may have been waiting there */
    pool.bell = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
  }
  pthread_attr_t detached;
  pthread_attr_init(&detached);
  pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
  for (pthread_t thread; pool.workers < workers && !pthread_create(&thread, &detached, help, NULL);) pool.workers++;
  pthread_attr_destroy(&detached);
}

/* Do jobs 0 to jobs - 1 of a task, of some multiplications and additions in all. */
static void share_out(void (*work)(const void *, long), const void *task, long jobs, long sums, int threads) {
  threads = (int)least(threads, least(jobs, 1 + sums / GRAIN));
  if (threads < 2 || pthread_mutex_trylock(&pool.busy)) { /* another thread of Python may be using them */
    for (long job = 0; job < jobs; job++) work(task, job);
    return;
  }
  hire(threads - 1);
  pool.work = work;
  pool.task = task;
  pool.jobs = jobs;
  atomic_store(&pool.next, 0);
  atomic_store(&pool.seats, threads - 1);
  atomic_fetch_add(&pool.opened, 1);
  if (atomic_load(&pool.asleep)) {
    pthread_mutex_lock(&pool.door);
    pthread_cond_broadcast(&pool.bell);
    pthread_mutex_unlock(&pool.door);
  }
  take_jobs();
  atomic_fetch_add(&pool.opened, 1);
  for (long looks = 0; atomic_load(&pool.inside); looks++) looks < PATIENCE ? pause_a_moment() : (void)sched_yield();
  pthread_mutex_unlock(&pool.busy);
}
