/* The benchmark funnel by hand: a binary heap of events, slots of prospects used again, a ring of those who wait.
 *
 * gcc -O3 -march=native -o funnel benchmarks/funnel.c -lm && ./funnel 100000 1     (prospects, seed)
 *
 * Patience is a timer, so that whoever is tired leaves at that instant, as in the other programs. The place in the
 * queue stays behind and is skipped when it comes to the front; a timer that comes too late is ignored.
 */
#define _POSIX_C_SOURCE 199309L
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const double ARRIVALS_A_DAY = 10.0, MU = 0.8, SIGMA = 0.9, MEAN_EFFORT = 0.5, MEAN_PATIENCE = 2.0, GO_ON = 0.5;
enum { STAGES = 4, SELLERS = 10 };

/* --- random numbers: xoshiro256++ (Blackman and Vigna), seeded by splitmix64 --- */

static uint64_t state[4];

static uint64_t rotated(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

static uint64_t bits(void) {
    uint64_t result = rotated(state[0] + state[3], 23) + state[0], t = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= t;
    state[3] = rotated(state[3], 45);
    return result;
}

static void seed_with(uint64_t x) {
    for (int i = 0; i < 4; i++) {
        uint64_t z = (x += 0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        state[i] = z ^ (z >> 31);
    }
}

static double uniform(void) { return ((double)(bits() >> 11) + 0.5) * 0x1p-53; } /* never 0, never 1 */

static double exponential(double mean) { return -mean * log(uniform()); }

static double normal(void) { /* Marsaglia's polar method makes two at a time */
    static double spare;
    static int has_spare;
    if (has_spare) {
        has_spare = 0;
        return spare;
    }
    double x, y, r;
    do {
        x = 2.0 * uniform() - 1.0;
        y = 2.0 * uniform() - 1.0;
        r = x * x + y * y;
    } while (r >= 1.0 || r == 0.0);
    double scale = sqrt(-2.0 * log(r) / r);
    spare = y * scale;
    has_spare = 1;
    return x * scale;
}

static double lognormal(void) { return exp(MU + SIGMA * normal()); }

/* --- events --- */

typedef enum { THOUGHT, TIRED, DONE } Kind;
typedef struct {
    double time;
    uint32_t slot;
    uint32_t kind : 2, ticket : 30; /* the ticket tells whether a timer is still meant */
} Event;

static Event *heap;
static uint32_t heap_size, heap_room;

static void schedule(double time, Kind kind, uint32_t slot, uint32_t ticket) {
    if (heap_size == heap_room)
        heap = realloc(heap, (heap_room *= 2) * sizeof *heap);
    uint32_t i = heap_size++;
    for (uint32_t up; i > 0 && heap[up = (i - 1) / 2].time > time; i = up)
        heap[i] = heap[up];
    heap[i] = (Event){time, slot, kind, ticket & 0x3fffffff};
}

static Event next_event(void) {
    Event first = heap[0], last = heap[--heap_size];
    uint32_t i = 0;
    for (uint32_t down; (down = 2 * i + 1) < heap_size; i = down) {
        if (down + 1 < heap_size && heap[down + 1].time < heap[down].time)
            down++;
        if (last.time <= heap[down].time)
            break;
        heap[i] = heap[down];
    }
    heap[i] = last;
    return first;
}

/* --- prospects and the queue --- */

typedef struct {
    double asked;
    uint32_t stage, ticket, waits; /* ticket: how many requests this slot has made */
} Prospect;
typedef struct {
    uint32_t slot, ticket;
} Place;

static Prospect *people;
static uint32_t *unused, n_unused, n_slots, slot_room;
static Place *queue; /* a ring: places from queue_head to queue_tail, modulo its room, a power of 2 */
static uint64_t queue_head, queue_tail, queue_room;

static uint32_t take_slot(void) {
    if (n_unused)
        return unused[--n_unused];
    if (n_slots == slot_room) {
        slot_room *= 2;
        people = realloc(people, slot_room * sizeof *people);
        unused = realloc(unused, slot_room * sizeof *unused);
    }
    people[n_slots] = (Prospect){0};
    return n_slots++;
}

static void wait_in_line(uint32_t slot) {
    if (queue_tail - queue_head == queue_room) {
        Place *larger = malloc(2 * queue_room * sizeof *larger);
        for (uint64_t k = queue_head; k < queue_tail; k++)
            larger[k & (2 * queue_room - 1)] = queue[k & (queue_room - 1)];
        free(queue);
        queue = larger;
        queue_room *= 2;
    }
    queue[queue_tail++ & (queue_room - 1)] = (Place){slot, people[slot].ticket};
}

/* --- the model --- */

static double now, days, waited, busy;
static uint64_t prospects, wins, losses, reneges, served, events;
static int free_sellers = SELLERS;

static void serve(uint32_t slot) {
    Prospect *p = &people[slot];
    p->waits = 0;
    served++;
    waited += now - p->asked;
    double effort = exponential(MEAN_EFFORT);
    busy += fmin(effort, days - now);
    schedule(now + effort, DONE, slot, 0);
}

static void ask(uint32_t slot) {
    Prospect *p = &people[slot];
    p->asked = now;
    if (free_sellers) {
        free_sellers--;
        serve(slot);
        return;
    }
    p->ticket++;
    p->waits = 1;
    wait_in_line(slot);
    schedule(now + exponential(MEAN_PATIENCE), TIRED, slot, p->ticket);
}

static void give_seller_to_next(void) {
    while (queue_head < queue_tail) {
        Place place = queue[queue_head++ & (queue_room - 1)];
        if (people[place.slot].waits && people[place.slot].ticket == place.ticket) {
            serve(place.slot);
            return;
        }
    }
    free_sellers++;
}

static void finish_task(uint32_t slot) {
    give_seller_to_next();
    if (uniform() >= GO_ON) {
        losses++;
        unused[n_unused++] = slot;
    } else if (++people[slot].stage == STAGES) {
        wins++;
        unused[n_unused++] = slot;
    } else {
        schedule(now + lognormal(), THOUGHT, slot, 0);
    }
}

static void tire(uint32_t slot, uint32_t ticket) {
    Prospect *p = &people[slot];
    if (p->waits && (p->ticket & 0x3fffffff) == ticket) {
        p->waits = 0;
        reneges++;
        unused[n_unused++] = slot;
    }
}

static void run(void) {
    double arrival = exponential(1.0 / ARRIVALS_A_DAY); /* the next one, kept beside the heap */
    for (;; events++) {
        if (!heap_size || arrival <= heap[0].time) {
            if ((now = arrival) >= days)
                return;
            prospects++;
            arrival = now + exponential(1.0 / ARRIVALS_A_DAY);
            uint32_t slot = take_slot();
            people[slot].stage = 0;
            schedule(now + lognormal(), THOUGHT, slot, 0);
            continue;
        }
        if (heap[0].time >= days)
            return;
        Event event = next_event();
        now = event.time;
        if (event.kind == THOUGHT)
            ask(event.slot);
        else if (event.kind == DONE)
            finish_task(event.slot);
        else
            tire(event.slot, event.ticket);
    }
}

static double clock_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv) {
    days = (argc > 1 ? atof(argv[1]) : 100000.0) / ARRIVALS_A_DAY;
    seed_with(argc > 2 ? strtoull(argv[2], NULL, 10) : 1);
    heap_room = slot_room = 1024;
    queue_room = 1024;
    heap = malloc(heap_room * sizeof *heap);
    people = malloc(slot_room * sizeof *people);
    unused = malloc(slot_room * sizeof *unused);
    queue = malloc(queue_room * sizeof *queue);
    double start = clock_seconds();
    run();
    double seconds = clock_seconds() - start;
    printf("{\"seconds\": %.9f, \"prospects\": %llu, \"wins\": %llu, \"losses\": %llu, \"reneges\": %llu, "
           "\"mean_wait\": %.9f, \"utilisation\": %.9f, \"events\": %llu}\n",
           seconds, (unsigned long long)prospects, (unsigned long long)wins, (unsigned long long)losses,
           (unsigned long long)reneges, waited / (double)served, busy / (SELLERS * days), (unsigned long long)events);
    return 0;
}
