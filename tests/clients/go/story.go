// The whole story with openapi-generator: a builder for each operation, and errors for problems.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"sort"
	"time"

	"context"

	"polls"
)

var address = os.Getenv("POLLS_URL")

// A User is a client that sends an access token, or none if it is anonymous.
type User struct {
	*polls.APIClient
	ctx context.Context
}

func client(tokens *polls.TokenResponse) User {
	configuration := polls.NewConfiguration()
	configuration.Servers = polls.ServerConfigurations{{URL: address}}
	if tokens != nil {
		configuration.AddDefaultHeader("Authorization", "Bearer "+tokens.AccessToken)
	}
	return User{polls.NewAPIClient(configuration), context.Background()}
}

var anyone User

func must[T any](value T, _ *http.Response, err error) T {
	if err != nil {
		var failure *polls.GenericOpenAPIError
		if errors.As(err, &failure) {
			log.Panicf("%s: %s", err, failure.Body())
		}
		log.Panic(err)
	}
	return value
}

func check(holds bool, what any) {
	if !holds {
		log.Panicf("%+v", what)
	}
}

// problem returns the problem with which a call failed.
func problem(err error) polls.Problem {
	var failure *polls.GenericOpenAPIError
	check(errors.As(err, &failure), err)
	var problem polls.Problem
	check(json.Unmarshal(failure.Body(), &problem) == nil, string(failure.Body()))
	return problem
}

func is(code polls.ProblemCode, err error) {
	found := problem(err)
	check(found.Code == code && found.Type == "/problems/"+string(code), found)
}

func register(name string, phone *string) User {
	email, password := name+"@example.org", "correct horse battery"
	input := polls.UserInput{Name: name, Email: email, Password: password, Phone: phone}
	account := must(anyone.UsersAPI.CreateUser(anyone.ctx).UserInput(input).Execute())
	check(account.Role == polls.ROLE_USER, account)
	username := email
	if phone != nil {
		username = *phone
	}
	grant := anyone.AuthAPI.IssueToken(anyone.ctx)
	tokens := must(grant.GrantType(polls.GRANTTYPE_PASSWORD).Username(username).Password(password).Execute())
	fresh := must(grant.GrantType(polls.GRANTTYPE_REFRESH_TOKEN).RefreshToken(tokens.RefreshToken).Execute())
	return client(fresh)
}

func (user User) ask(input polls.QuestionInput) *polls.Question {
	input.QuestionText = "Which language?"
	for _, text := range []string{"rust", "go", "python"} {
		input.Choices = append(input.Choices, polls.ChoiceText{ChoiceText: text})
	}
	return must(user.QuestionsAPI.CreateQuestion(user.ctx).QuestionInput(input).Execute())
}

func (user User) vote(question *polls.Question, chosen ...int) (*polls.Ballot, *http.Response, error) {
	ballot := polls.BallotInput{}
	for _, index := range chosen {
		ballot.ChoiceIds = append(ballot.ChoiceIds, question.Choices[index].Id)
	}
	return user.BallotsAPI.CastBallot(user.ctx, question.Id).BallotInput(ballot).Execute()
}

func voting(ada, bob User) {
	question := ada.ask(polls.QuestionInput{MaxChoices: polls.PtrInt32(2)})
	check(question.Status == polls.QUESTIONSTATUS_OPEN && question.Description == nil, question)

	first := must(ada.vote(question, 0))
	again, response, err := ada.vote(question, 0)
	check(err == nil && response.StatusCode == 200 && again.UpdatedAt.Equal(first.UpdatedAt), again)
	changed := must(ada.vote(question, 1, 2))
	check(changed.UpdatedAt.After(first.CastAt), changed)
	_, err = ada.BallotsAPI.WithdrawBallot(ada.ctx, question.Id).Execute()
	check(err == nil, err)
	_, _, err = ada.BallotsAPI.GetBallot(ada.ctx, question.Id).Execute()
	is(polls.PROBLEMCODE_NOT_FOUND, err)

	must(ada.vote(question, 0))
	must(bob.vote(question, 0, 1))
	closed := must(ada.QuestionsAPI.CloseQuestion(ada.ctx, question.Id).Execute())
	check(closed.ClosedAt != nil, closed)
	results := must(anyone.ResultsAPI.GetResults(anyone.ctx, question.Id).Execute())
	check(results.IsFinal && results.BallotCount == 2 && results.Choices[1].Share == 0.5, results)
	_, _, err = bob.vote(question, 2)
	is(polls.PROBLEMCODE_VOTING_CLOSED, err)
}

// how returns how the winner has won, for people.
func how(explanation *polls.Explanation) string {
	text := ""
	switch it := explanation.GetActualInstance().(type) {
	case *polls.RoundsExplanation:
		text = "round 1:"
		for _, tally := range it.Rounds[0].Tallies {
			text += fmt.Sprintf(" %v", tally.Votes)
		}
	case *polls.PairsExplanation:
		text = "pairs:"
		for _, pair := range it.Pairs {
			text += fmt.Sprintf(" %d:%d", pair.For, pair.Against)
		}
	case *polls.PointsExplanation:
		text = "points:"
		for _, total := range it.Totals {
			text += fmt.Sprintf(" %v", total.Points)
		}
	case *polls.RunoffExplanation:
		text = "run-off:"
		for _, finalist := range it.Preferring {
			text += fmt.Sprintf(" %d", finalist.Ballots)
		}
	}
	return text
}

func ranking(ada, bob User, method polls.VotingMethod, expected string) {
	question := ada.ask(polls.QuestionInput{Method: &method})
	must(ada.vote(question, 2, 0))
	// The same choices in another order are another ranking.
	changed := must(ada.vote(question, 0, 2))
	first, last := question.Choices[0].Id, question.Choices[2].Id
	check(changed.ChoiceIds[0] == first && changed.ChoiceIds[1] == last, changed)
	must(bob.vote(question, 0))
	results := must(anyone.ResultsAPI.GetResults(anyone.ctx, question.Id).Explain(true).Execute())
	elected := results.Outcome.ElectedChoiceIds
	check(len(elected) == 1 && elected[0] == first, elected)
	check(how(results.Explanation) == expected, how(results.Explanation))
}

func pages(ada User) {
	for number := 0; number < 4; number++ {
		ada.ask(polls.QuestionInput{})
	}
	seen := map[string]bool{}
	list := anyone.QuestionsAPI.ListQuestions(anyone.ctx).Limit(2).Sort("created_at")
	for {
		page := must(list.Execute())
		for _, question := range page.Data {
			seen[question.Id] = true
		}
		if page.Meta.NextCursor == nil {
			break
		}
		list = list.Cursor(*page.Meta.NextCursor)
	}
	check(len(seen) == 7, seen)
}

func problems(ada, bob User) {
	plain := ada.ask(polls.QuestionInput{})
	wrong := polls.QuestionInput{Choices: []polls.ChoiceText{{ChoiceText: ""}, {ChoiceText: "go"}}}
	_, _, err := ada.QuestionsAPI.CreateQuestion(ada.ctx).QuestionInput(wrong).Execute()
	invalid := problem(err)
	check(invalid.Code == polls.PROBLEMCODE_INVALID_FIELDS, invalid)
	var pointers []string
	for _, field := range invalid.Errors {
		pointers = append(pointers, field.Pointer)
	}
	sort.Strings(pointers)
	check(fmt.Sprint(pointers) == "[/choices/0/choice_text /question_text]", pointers)

	_, _, err = anyone.QuestionsAPI.ListQuestions(anyone.ctx).Cursor("forged").Execute()
	is(polls.PROBLEMCODE_MALFORMED_REQUEST, err)
	_, _, err = anyone.UsersAPI.GetMe(anyone.ctx).Execute()
	is(polls.PROBLEMCODE_UNAUTHENTICATED, err)
	patch := *polls.NewQuestionPatch()
	patch.SetDescription("mine now")
	_, _, err = bob.QuestionsAPI.UpdateQuestion(bob.ctx, plain.Id).QuestionPatch(patch).Execute()
	is(polls.PROBLEMCODE_FORBIDDEN, err)
	taken := polls.UserInput{Name: "x", Email: "ada@example.org", Password: "correct horse"}
	_, _, err = anyone.UsersAPI.CreateUser(anyone.ctx).UserInput(taken).Execute()
	is(polls.PROBLEMCODE_ACCOUNT_TAKEN, err)

	visibility := polls.RESULTSVISIBILITY_AUTHOR
	secret := ada.ask(polls.QuestionInput{ResultsVisibility: &visibility})
	seen := must(bob.QuestionsAPI.GetQuestion(bob.ctx, secret.Id).Execute())
	check(seen.BallotCount == nil, seen)
	_, _, err = bob.ResultsAPI.GetResults(bob.ctx, secret.Id).Execute()
	is(polls.PROBLEMCODE_RESULTS_HIDDEN, err)
	later := time.Now().Add(time.Hour)
	_, _, err = bob.vote(ada.ask(polls.QuestionInput{OpensAt: &later}), 0)
	is(polls.PROBLEMCODE_VOTING_NOT_OPEN, err)
	last := ada.ask(polls.QuestionInput{AllowChange: polls.PtrBool(false)})
	must(bob.vote(last, 0))
	_, _, err = bob.vote(last, 1)
	is(polls.PROBLEMCODE_ALREADY_VOTED, err)
	_, err = bob.BallotsAPI.WithdrawBallot(bob.ctx, last.Id).Execute()
	is(polls.PROBLEMCODE_BALLOT_FINAL, err)
	rename := polls.QuestionPatch{QuestionText: polls.PtrString("Another?")}
	_, _, err = ada.QuestionsAPI.UpdateQuestion(ada.ctx, last.Id).QuestionPatch(rename).Execute()
	is(polls.PROBLEMCODE_HAS_BALLOTS, err)
	_, err = ada.QuestionsAPI.DeleteQuestion(ada.ctx, plain.Id).IfMatch(`"99.nothing"`).Execute()
	is(polls.PROBLEMCODE_STALE, err)
	nowhere := "01963b1c-7a20-7d4e-9c1f-5a6b7c8d9e0f"
	_, _, err = anyone.QuestionsAPI.GetQuestion(anyone.ctx, nowhere).Execute()
	is(polls.PROBLEMCODE_NOT_FOUND, err)
}

func signingIn(ada User) {
	sessions := must(ada.AuthAPI.ListSessions(ada.ctx).Execute())
	for _, session := range sessions.Data {
		if session.Current {
			check(session.ExpiresAt.After(time.Now()), session)
			_, err := ada.AuthAPI.EndSession(ada.ctx, session.Id).Execute()
			check(err == nil, err)
		}
	}
	_, _, err := ada.UsersAPI.GetMe(ada.ctx).Execute()
	is(polls.PROBLEMCODE_UNAUTHENTICATED, err)

	for {
		wrong := anyone.AuthAPI.IssueToken(anyone.ctx).GrantType(polls.GRANTTYPE_PASSWORD)
		_, response, err := wrong.Username("ada@example.org").Password("wrong").Execute()
		if response.StatusCode == http.StatusTooManyRequests {
			is(polls.PROBLEMCODE_RATE_LIMITED, err)
			check(response.Header.Get("Retry-After") != "", response.Header)
			return
		}
		var failure *polls.GenericOpenAPIError
		check(errors.As(err, &failure), err)
		denied, known := failure.Model().(polls.GrantError)
		check(known && denied.Error == polls.GRANTERRORCODE_INVALID_GRANT, failure.Model())
	}
}

func main() {
	anyone = client(nil)
	phone := "16666666661"
	ada, bob := register("ada", &phone), register("bob", nil)
	voting(ada, bob)
	ranking(ada, bob, polls.VOTINGMETHOD_INSTANT_RUNOFF, "round 1: 2 0 0")
	ranking(ada, bob, polls.VOTINGMETHOD_RANKED_PAIRS, "pairs: 2:0 2:0 1:0")
	pages(ada)
	problems(ada, bob)
	signingIn(ada)
	fmt.Println("the whole story, by openapi-generator for Go")
}
