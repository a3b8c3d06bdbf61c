// The whole story with openapi-generator: a method for each operation, and exceptions for problems.

import java.time.OffsetDateTime;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.function.Function;
import java.util.stream.Collectors;
import polls.ApiClient;
import polls.ApiException;
import polls.api.AuthApi;
import polls.api.BallotsApi;
import polls.api.QuestionsApi;
import polls.api.ResultsApi;
import polls.api.UsersApi;
import polls.model.*;

final class Story {
    static final String URL =
        System.getenv().getOrDefault("POLLS_URL", "http://127.0.0.1:8080/api/v1");

    /** Somebody's client, which sends the access token; nobody's, without one. */
    static final class Polls {
        final ApiClient client = new ApiClient();
        final AuthApi auth;
        final UsersApi users;
        final QuestionsApi questions;
        final BallotsApi ballots;
        final ResultsApi results;

        Polls(TokenResponse tokens) {
            client.updateBaseUri(URL);
            if (tokens != null) {
                var bearer = "Bearer " + tokens.getAccessToken();
                client.setRequestInterceptor(request -> request.setHeader("Authorization", bearer));
            }
            auth = new AuthApi(client);
            users = new UsersApi(client);
            questions = new QuestionsApi(client);
            ballots = new BallotsApi(client);
            results = new ResultsApi(client);
        }

        Question ask(QuestionInput question) throws ApiException {
            for (var text : List.of("rust", "go", "python"))
                question.addChoicesItem(new ChoiceText().choiceText(text));
            return questions.createQuestion(question.questionText("Which language?"));
        }

        Ballot vote(Question question, int... chosen) throws ApiException {
            var ballot = new BallotInput();
            for (int index : chosen) ballot.addChoiceIdsItem(question.getChoices().get(index).getId());
            return ballots.castBallot(question.getId(), ballot);
        }
    }

    static final Polls anyone = new Polls(null);

    interface Call {
        void make() throws ApiException;
    }

    /** The problem with which a call fails. */
    static Problem problem(Call call) throws Exception {
        try {
            call.make();
        } catch (ApiException failure) {
            return anyone.client.getObjectMapper().readValue(failure.getResponseBody(), Problem.class);
        }
        throw new AssertionError("it succeeded");
    }

    static void is(ProblemCode code, Call call) throws Exception {
        var problem = problem(call);
        check(problem.getCode() == code, problem);
        check(problem.getType().equals("/problems/" + code.getValue()), problem);
    }

    static void check(boolean holds, Object what) {
        if (!holds) throw new AssertionError(what);
    }

    static Polls register(String name, String phone) throws ApiException {
        var email = name + "@example.org";
        var password = "correct horse battery";
        var user = new UserInput().name(name).email(email).password(password).phone(phone);
        check(anyone.users.createUser(user).getRole() == Role.USER, "a user");
        var username = phone == null ? email : phone;
        var tokens = anyone.auth.issueToken(GrantType.PASSWORD, username, password, null);
        var fresh = anyone.auth.issueToken(GrantType.REFRESH_TOKEN, null, null, tokens.getRefreshToken());
        return new Polls(fresh);
    }

    static void voting(Polls ada, Polls bob) throws Exception {
        var question = ada.ask(new QuestionInput().maxChoices(2));
        var id = question.getId();
        check(question.getStatus() == QuestionStatus.OPEN, question);
        check(question.getDescription() == null, question);

        var first = ada.vote(question, 0);
        check(ada.vote(question, 0).getUpdatedAt().equals(first.getUpdatedAt()), "unchanged");
        check(ada.vote(question, 1, 2).getUpdatedAt().isAfter(first.getCastAt()), "changed");
        ada.ballots.withdrawBallot(id);
        is(ProblemCode.NOT_FOUND, () -> ada.ballots.getBallot(id, null));

        ada.vote(question, 0);
        bob.vote(question, 0, 1);
        check(ada.questions.closeQuestion(id, null).getClosedAt() != null, "closed");
        var results = anyone.results.getResults(id, null, null);
        var shares = results.getChoices().stream().map(ChoiceResult::getShare).toList();
        check(shares.equals(List.of(1.0, 0.5, 0.0)), shares);
        check(results.getIsFinal() && results.getBallotCount() == 2, results);
        is(ProblemCode.VOTING_CLOSED, () -> bob.vote(question, 2));
    }

    /** How the winner has won, for people. */
    static String how(Explanation explanation) {
        var it = explanation.getActualInstance();
        if (it instanceof RoundsExplanation rounds)
            return "round 1: " + list(rounds.getRounds().get(0).getTallies(), CountTally::getVotes);
        if (it instanceof PairsExplanation pairs)
            return "pairs: " + list(pairs.getPairs(), pair -> pair.getFor() + ":" + pair.getAgainst());
        if (it instanceof PointsExplanation points)
            return "points: " + list(points.getTotals(), PointTotal::getPoints);
        if (it instanceof RunoffExplanation runoff)
            return "run-off: " + list(runoff.getPreferring(), Preferring::getBallots);
        throw new AssertionError(it);
    }

    static <T> String list(List<T> items, Function<T, Object> text) {
        return items.stream().map(text).map(Object::toString).collect(Collectors.joining(", "));
    }

    static void ranking(Polls ada, Polls bob, VotingMethod method, String expected) throws Exception {
        var question = ada.ask(new QuestionInput().method(method));
        var id = question.getId();
        var ids = question.getChoices().stream().map(Choice::getId).toList();
        ada.vote(question, 2, 0);
        // The same choices in another order are another ranking.
        var changed = ada.vote(question, 0, 2);
        check(changed.getChoiceIds().equals(List.of(ids.get(0), ids.get(2))), changed);
        bob.vote(question, 0);
        var results = anyone.results.getResults(id, true, null);
        check(results.getOutcome().getElectedChoiceIds().equals(List.of(ids.get(0))), results);
        check(how(results.getExplanation()).equals(expected), results);
    }

    static void pages(Polls ada) throws ApiException {
        for (int number = 0; number < 4; number++) ada.ask(new QuestionInput());
        Set<UUID> seen = new HashSet<>();
        String cursor = null;
        do {
            var sort = "-created_at";
            var page = anyone.questions.listQuestions(null, null, null, sort, null, 2, cursor);
            for (var question : page.getData()) seen.add(question.getId());
            cursor = page.getMeta().getNextCursor();
        } while (cursor != null);
        check(seen.size() == 7, seen);
    }

    static void problems(Polls ada, Polls bob) throws Exception {
        var plain = ada.ask(new QuestionInput());
        var id = plain.getId();
        var invalid = problem(() -> ada.questions.createQuestion(new QuestionInput()
            .questionText("")
            .addChoicesItem(new ChoiceText().choiceText(""))
            .addChoicesItem(new ChoiceText().choiceText("go"))));
        check(invalid.getCode() == ProblemCode.INVALID_FIELDS, invalid);
        var pointers = invalid.getErrors().stream().map(ProblemField::getPointer).sorted().toList();
        check(pointers.equals(List.of("/choices/0/choice_text", "/question_text")), pointers);

        is(ProblemCode.MALFORMED_REQUEST,
            () -> anyone.questions.listQuestions(null, null, null, null, null, null, "forged"));
        is(ProblemCode.UNAUTHENTICATED, () -> anyone.users.getMe(null));
        is(ProblemCode.FORBIDDEN,
            () -> bob.questions.updateQuestion(id, new QuestionPatch().description("mine"), null));
        var taken = new UserInput().name("x").email("ada@example.org").password("correct horse");
        is(ProblemCode.ACCOUNT_TAKEN, () -> anyone.users.createUser(taken));

        var secret = ada.ask(new QuestionInput().resultsVisibility(ResultsVisibility.AUTHOR)).getId();
        check(bob.questions.getQuestion(secret, null).getBallotCount() == null, "hidden");
        is(ProblemCode.RESULTS_HIDDEN, () -> bob.results.getResults(secret, null, null));
        var scheduled = ada.ask(new QuestionInput().opensAt(OffsetDateTime.now().plusHours(1)));
        is(ProblemCode.VOTING_NOT_OPEN, () -> bob.vote(scheduled, 0));
        var last = ada.ask(new QuestionInput().allowChange(false));
        bob.vote(last, 0);
        is(ProblemCode.ALREADY_VOTED, () -> bob.vote(last, 1));
        is(ProblemCode.BALLOT_FINAL, () -> bob.ballots.withdrawBallot(last.getId()));
        is(ProblemCode.HAS_BALLOTS, () -> ada.questions.updateQuestion(
            last.getId(), new QuestionPatch().questionText("Another?"), null));
        is(ProblemCode.STALE, () -> ada.questions.deleteQuestion(id, "\"99.nothing\""));
        is(ProblemCode.NOT_FOUND, () -> anyone.questions.getQuestion(UUID.randomUUID(), null));
    }

    static void signingIn(Polls ada) throws Exception {
        var sessions = ada.auth.listSessions(null, null).getData();
        var current = sessions.stream().filter(Session::getCurrent).findFirst().orElseThrow();
        check(current.getExpiresAt().isAfter(OffsetDateTime.now()), current);
        ada.auth.endSession(current.getId());
        is(ProblemCode.UNAUTHENTICATED, () -> ada.users.getMe(null));

        var mapper = anyone.client.getObjectMapper();
        for (;;) {
            try {
                anyone.auth.issueToken(GrantType.PASSWORD, "ada@example.org", "wrong", null);
                throw new AssertionError("a wrong password");
            } catch (ApiException failure) {
                if (failure.getCode() == 429) {
                    check(failure.getResponseHeaders().firstValue("Retry-After").isPresent(), failure);
                    return;
                }
                var denied = mapper.readValue(failure.getResponseBody(), GrantError.class);
                check(denied.getError() == GrantErrorCode.INVALID_GRANT, denied);
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        var ada = register("ada", "16666666661");
        var bob = register("bob", null);
        voting(ada, bob);
        ranking(ada, bob, VotingMethod.INSTANT_RUNOFF, "round 1: 2.0, 0.0, 0.0");
        ranking(ada, bob, VotingMethod.RANKED_PAIRS, "pairs: 2:0, 2:0, 1:0");
        pages(ada);
        problems(ada, bob);
        signingIn(ada);
        System.out.println("the whole story, by openapi-generator for Java");
    }
}
